"""A row on its way: what was ordered, what will be sent, and what may stand against sending it now."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import datetime

from integrations import ledger
from integrations.choosing import Chosen, choose
from integrations.judging import Delivery
from integrations.models import AttemptKind
from integrations.providers.contract import CALLBACK_PLACEHOLDER, Connection, JsonObject, OutgoingRequest, Row
from mobius.ids import new_id

SEND_SECONDS = 20.0
"""One exchange in all, unless the step's own time-out leaves less (design §4)."""

LONGEST_REQUEST_ID = 255


@dataclass(frozen=True, kw_only=True)
class Order:
    """A row that somebody wants sent, and on whose behalf."""

    project_id: str
    action: str  # full name, such as `clay.webhook.submit`
    parameters: JsonObject  # rendered; holds CALLBACK_PLACEHOLDER where a callback's address belongs
    integration: str = ""  # its name; "": the obvious one
    webhook_id: str = ""  # a test names the very webhook
    connection: Connection | None = None  # a test of another auth header, before it replaces the stored one
    kind: AttemptKind = AttemptKind.RUN
    run_id: str = ""
    step_id: str = ""
    number: int = 1
    callback_url: str = field(default="", repr=False)
    attempt_id: str = ""  # known beforehand where the callback's address names it; "": a new one
    timeout_seconds: float = SEND_SECONDS


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """An order that can go: checked, sized, addressed. Nothing is written yet."""

    order: Order
    chosen: Chosen
    row: Row
    request: OutgoingRequest = field(repr=False)
    body: str = field(repr=False)  # as stored: a callback's address is a placeholder in it
    body_digest: str
    attempt_id: str

    @property
    def goes_as_stored(self) -> bool:
        """Does it go out as every row does? Then what the webhook answers holds for every row."""
        return self.order.connection is None

    @property
    def deduplicated(self) -> bool:
        """Does the table tell a repeated row by its `request_id`? Then it may be sent again after a doubt."""
        return bool(self.row.request_id) and self.chosen.integration.deduplicates


@dataclass(frozen=True, kw_only=True)
class Sending:
    """`reserve`: the attempt is written down; the caller commits, then calls `send`."""

    parcel: Parcel
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class NotNow:
    """`reserve`: nothing was taken; ask again at `wake_at`, or when the sweep finds room at `waits_for`."""

    reason: str  # a value of loops' SuspendedFor
    message: str
    wake_at: datetime | None = None
    waits_for: str = ""  # the id of a pacer, an integration, a webhook or an attempt


@dataclass(frozen=True, kw_only=True)
class AlreadyAccepted:
    """`reserve`: this very row was accepted before; its outcome stands, with `duplicate: true`."""

    delivery: Delivery


def prepare(order: Order) -> Parcel:
    """Check `order` and make its request. Reads only.

    Raises NotConnected, ActionInputInvalid (also when the row is too large) and SecretUnreadable.
    """
    chosen = choose(order.project_id, order.action, name=order.integration, webhook_id=order.webhook_id)
    if order.connection is not None:
        chosen = replace(chosen, connection=order.connection)
    return pack(order, chosen)


def pack(order: Order, chosen: Chosen) -> Parcel:
    """As `prepare`, for many rows that go the same way. Raises ActionInputInvalid."""
    row = chosen.action.read(order.parameters)
    body = json.dumps(row.payload, ensure_ascii=False, separators=(",", ":"))
    payload, callback_of = row.payload, ""
    if order.callback_url and CALLBACK_PLACEHOLDER in body:
        callback_of = order.step_id
        payload = json.loads(body.replace(CALLBACK_PLACEHOLDER, order.callback_url))
    return Parcel(
        order=order,
        chosen=chosen,
        row=row,
        request=chosen.action.request(chosen.connection, payload),
        body=body,
        body_digest=ledger.digest(body, callback_of=callback_of),
        attempt_id=order.attempt_id or new_id("att"),
    )
