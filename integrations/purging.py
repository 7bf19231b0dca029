"""Forgetting what old rows held. The log, the counts and the ledger stay: a row is never sent twice for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from integrations.models import Attempt

BATCH = 500
"""Attempts in one statement: a row that wants to go out meanwhile waits for a moment only."""


def purge_bodies(*, before: datetime, batch: int = BATCH) -> Iterator[int]:
    """Blank what was sent and answered in attempts made before `before`; yields the number of each batch once it is
    committed.

    A row that is on its way or in doubt keeps its body. To be called in no transaction.
    """
    last = ""
    while ids := list(Attempt.objects.to_purge(before).filter(pk__gt=last).values_list("pk", flat=True)[:batch]):
        yield Attempt.objects.to_purge(before).filter(pk__in=ids).order_by().update(body="", response="")
        last = ids[-1]
