"""Getting one row out: prepare, reserve, send, record.

`reserve` and `record` work in the caller's transaction, `send` in none. The attempt is committed as `sending` before
the socket opens; whatever is found `sending` after a crash may have arrived, is `in_doubt`, and is never sent again
by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlsplit

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
    prepare,
)
from integrations.providers.contract import CALLBACK_PLACEHOLDER, Exchange, Stage
from integrations.recording import (
    deduplicated,
    doubt_the_lost,
    doubt_the_silent,
    goes_to_successor,
    last_attempt,
    output_of,
    prove_arrival,
    proven_output,
    record,
    request_id_of,
    rows_sent_as,
)
from integrations.reserving import (
    SubmissionLimitReached,
    paced,
    pacer_behind,
    pacer_of,
    paused_among,
    reserve,
    room_at,
)

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
    "deduplicated",
    "doubt_the_lost",
    "doubt_the_silent",
    "goes_to_successor",
    "last_attempt",
    "output_of",
    "paced",
    "pacer_behind",
    "pacer_of",
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
    "unexplained",
    "weigh",
]

_TELLING_LENGTH = 8  # shorter parts of a secret stand in many an honest answer


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
            answer = answer.replace(spelling.encode(), b"[removed]")
    return answer


def _secrets_of(parcel: Parcel) -> list[str]:
    """What opens the webhook and the callback's address; then their telling parts, for a 404 often quotes the path."""
    connection, callback_url = parcel.chosen.connection, parcel.order.callback_url
    whole = (connection.webhook_url, connection.auth_header_value, callback_url)
    address = urlsplit(connection.webhook_url)
    path_and_query = f"{address.path}?{address.query}" if address.query else address.path
    token = connection.auth_header_value.rpartition(" ")[2]  # without the word Bearer
    parts = (path_and_query, address.path, token, callback_url.rpartition("/")[2])
    return [secret for secret in whole if secret] + [part for part in parts if len(part) >= _TELLING_LENGTH]
