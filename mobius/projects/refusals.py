"""The last calls of each key that `/v1` has refused: what somebody looks at whose column in Clay shows an error.

A few for each key, without anything of what was sent, and no more than one a second for long: a note, not a duty.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import DatabaseError

from mobius import clock
from mobius.projects import throttling
from mobius.projects.key_models import ApiKey, RefusedCall
from mobius.redacting import redact

KEPT = 20
"""Calls of one key."""


def note_refusal(key: ApiKey, *, method: str, path: str, status: int, code: str, fields: Iterable[str] = ()) -> None:
    """Write down that a call of `key` was refused with `code`; `fields` are the names of what was wrong with it."""
    if not throttling.may_note_refusal(key):
        return
    try:
        RefusedCall.objects.create(
            key=key,
            method=method[:8],
            path=storable(path),
            status=status,
            code=code[:60],
            fields=storable(", ".join(fields)),
            called_at=clock.now(),
        )
        beyond = RefusedCall.objects.of_key(key).values_list("pk", flat=True)[KEPT : KEPT + 1]
        for pk in list(beyond):
            RefusedCall.objects.of_key(key).filter(pk__lte=pk).delete()
    except DatabaseError:
        pass  # the answer itself must not fail for it


def storable(text: str) -> str:
    """What a stranger chose, as it can be stored and shown; 200 characters at most."""
    return redact("".join(sign if sign.isprintable() else "?" for sign in text))[:200]
