"""Getting one row out: prepare, reserve, send, record.

`reserve` and `record` work in the caller's transaction, `send` in none. The attempt is committed as `sending` before
the socket opens; whatever is found `sending` after a crash may have arrived, is `in_doubt`, and is never sent again
by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from integrations import outbound
from integrations.judging import Delivery, judge, unexplained
from integrations.pacing import pull_back
from integrations.parcels import (
    LONGEST_REQUEST_ID,
    SEND_SECONDS,
    AlreadyAccepted,
    NotNow,
    Order,
    Parcel,
    Sending,
    pack,
    prepare,
)
from integrations.providers.contract import CALLBACK_PLACEHOLDER, Exchange, Stage
from integrations.recording import (
    deduplicated,
    doubt_the_lost,
    doubt_the_silent,
    goes_to_successor,
    is_on_the_wire,
    last_attempt,
    output_of,
    prove_arrival,
    proven_output,
    record,
    request_id_of,
    rows_sent_as,
    settles_itself_alone,
)
from integrations.reserving import (
    SubmissionLimitReached,
    lock_pacer,
    paced,
    pacer_behind,
    pacer_of,
    paused_among,
    reserve,
    room_at,
)
from integrations.secrets import WrongKey
from mobius.redacting import REMOVED, parts_of

__all__ = [
    "CALLBACK_PLACEHOLDER",
    "LONGEST_REQUEST_ID",
    "SEND_SECONDS",
    "AlreadyAccepted",
    "Delivery",
    "NotNow",
    "Order",
    "Parcel",
    "Sending",
    "SubmissionLimitReached",
    "WrongKey",
    "deduplicated",
    "doubt_the_lost",
    "doubt_the_silent",
    "goes_to_successor",
    "is_on_the_wire",
    "last_attempt",
    "lock_pacer",
    "output_of",
    "paced",
    "pacer_behind",
    "pacer_of",
    "pack",
    "paused_among",
    "prepare",
    "prove_arrival",
    "proven_output",
    "pull_back",
    "record",
    "request_id_of",
    "reserve",
    "room_at",
    "rows_sent_as",
    "send",
    "settles_itself_alone",
    "unexplained",
    "weigh",
]


def send(
    sending: Sending,
    *,
    may_begin: Callable[[], bool] = outbound.always,
    on_stage: Callable[[Stage], None] = outbound.nothing,
) -> Exchange:
    """POST the row once. No transaction may be open; what the network does is never an exception.

    `may_begin` is asked immediately before the first byte: has this process still the right to send?
    """
    parcel = sending.parcel
    exchange = outbound.post(
        parcel.request,
        timeout_seconds=min(parcel.order.timeout_seconds, SEND_SECONDS),
        may_begin=may_begin,
        on_stage=on_stage,
    )
    return replace(exchange, body=_scrubbed(exchange.body, parcel))


def weigh(sending: Sending, exchange: Exchange) -> Delivery:
    """What the exchange means. Pure."""
    chosen = sending.parcel.chosen
    return judge(chosen.provider, chosen.action, exchange, request_id=sending.parcel.row.request_id)


def _scrubbed(answer: bytes, parcel: Parcel) -> bytes:
    """The answer without our own secrets, should the far side echo them: it is stored and shown."""
    for secret in _secrets_of(parcel):
        for spelling in (secret, secret.replace("/", "\\/")):  # JSON may escape slashes
            answer = answer.replace(spelling.encode(), REMOVED.encode())
    return answer


def _secrets_of(parcel: Parcel) -> list[str]:
    """What opens the webhook, and the callback's address, each with its telling parts."""
    connection, callback_url = parcel.chosen.connection, parcel.order.callback_url
    known = parts_of(connection.webhook_url, connection.auth_header_value)
    return [*known, callback_url, callback_url.rpartition("/")[2]] if callback_url else known
