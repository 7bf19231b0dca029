"""Was this row sent already? One entry for each row that was, or is being, sent to a destination.

A row is told by its `request_id` and the digest of its body. Rows without a `request_id` have no entry, and one is
never invented (founding document: the row is exactly what the caller gave).
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Collection
from datetime import datetime

from django.db import connection

from integrations.models import LedgerEntry
from mobius.prepared import Select, answered


def digest(body: str, *, callback_of: str = "") -> str:
    """SHA-256 of a body before a callback's address is filled in.

    `callback_of` is the step whose address that will be: with another address the same text is another row.
    """
    return hashlib.sha256(f"{callback_of}\n{body}".encode() if callback_of else body.encode()).hexdigest()


_ENTER = """
    INSERT INTO integrations_ledgerentry (destination, request_id, body_digest, attempt_id, created_at)
    VALUES (%s, %s, %s, %s, %s) ON CONFLICT (destination, request_id, body_digest) DO NOTHING
    RETURNING EXISTS (SELECT 1 FROM integrations_ledgerentry AS other WHERE other.destination = %s
                      AND other.request_id = %s AND other.body_digest <> %s)
"""


class Entered(enum.Enum):
    """What became of the wish to enter a row."""

    ALONE = enum.auto()
    BESIDE_OTHERS = enum.auto()  # other rows were sent there under the same request_id
    NOT = enum.auto()  # another attempt holds this very row


def enter(*, destination: str, request_id: str, body_digest: str, attempt_id: str, now: datetime) -> Entered:
    """Claim the row for an attempt that the caller inserts in this transaction."""
    moment = connection.ops.adapt_datetimefield_value(now)
    row = (destination, request_id, body_digest)
    entered = answered(_ENTER, *row, attempt_id, moment, *row)
    if not entered:
        return Entered.NOT
    return Entered.BESIDE_OTHERS if entered[0][0] else Entered.ALONE


_entries = Select(
    lambda destination, request_id: LedgerEntry.objects.filter(destination=destination, request_id=request_id)
)


def entries(destination: str, request_id: str) -> list[LedgerEntry]:
    """What was sent, or is being sent, to `destination` under `request_id`, whatever the body."""
    return _entries(destination, request_id)


def known_among(destination: str, request_ids: Collection[str]) -> dict[str, set[str]]:
    """The digests of what was sent, or is being sent, to `destination` under each of these."""
    found: dict[str, set[str]] = {}
    sent = LedgerEntry.objects.filter(destination=destination, request_id__in=list(request_ids))
    for request_id, body_digest in sent.values_list("request_id", "body_digest"):
        found.setdefault(request_id, set()).add(body_digest)
    return found


def hand_over(attempt_id: str, next_attempt_id: str) -> None:
    """Another attempt at the very same row holds its entry from now on."""
    LedgerEntry.objects.filter(attempt_id=attempt_id).update(attempt_id=next_attempt_id)


def free(attempt_id: str) -> None:
    """The row was not sent after all: whoever comes next may send it."""
    LedgerEntry.objects.filter(attempt_id=attempt_id).delete()
