"""Was this row sent already? One entry for each row that was, or is being, sent to a destination.

A row is told by its `request_id` and the digest of its body. Rows without a `request_id` have no entry, and one is
never invented (founding document: the row is exactly what the caller gave).
"""

from __future__ import annotations

import hashlib
from datetime import datetime

from django.db import connection

from integrations.models import Attempt, LedgerEntry


def digest(body: str, *, callback_of: str = "") -> str:
    """SHA-256 of a body before a callback's address is filled in.

    `callback_of` is the step whose address that will be: with another address the same text is another row.
    """
    return hashlib.sha256(f"{callback_of}\n{body}".encode() if callback_of else body.encode()).hexdigest()


_ENTER = """
    INSERT INTO integrations_ledgerentry (destination, request_id, body_digest, attempt_id, created_at)
    VALUES (%s, %s, %s, %s, %s) ON CONFLICT (destination, request_id, body_digest) DO NOTHING
"""


def enter(*, destination: str, request_id: str, body_digest: str, attempt_id: str, now: datetime) -> bool:
    """Claim the row for an attempt that the caller inserts in this transaction. False: another attempt holds it."""
    moment = connection.ops.adapt_datetimefield_value(now)
    with connection.cursor() as cursor:
        cursor.execute(_ENTER, [destination, request_id, body_digest, attempt_id, moment])
        return cursor.rowcount == 1


def holder(*, destination: str, request_id: str, body_digest: str) -> Attempt | None:
    """The attempt that sent, or is sending, this row."""
    entry = (
        LedgerEntry.objects.filter(destination=destination, request_id=request_id, body_digest=body_digest)
        .select_related("attempt")
        .first()
    )
    return entry.attempt if entry else None


def has_other_body(*, destination: str, request_id: str, body_digest: str) -> bool:
    """Was another body sent under this `request_id`? Such a row is sent too, with a warning in the run's log."""
    return (
        LedgerEntry.objects.filter(destination=destination, request_id=request_id)
        .exclude(body_digest=body_digest)
        .exists()
    )


def free(attempt_id: str) -> None:
    """The row was not sent after all: whoever comes next may send it."""
    LedgerEntry.objects.filter(attempt_id=attempt_id).delete()
