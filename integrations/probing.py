"""Testing a connection: one marked row, sent for real, and what its answer means."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from django.db import transaction

from integrations import connecting, delivering
from integrations.delivering import Delivery, NotNow, Order, Sending
from integrations.models import (
    Attempt,
    AttemptKind,
    AttemptState,
    Integration,
    IntegrationStatus,
    Webhook,
    WebhookState,
)
from integrations.providers.contract import CALLBACK_PLACEHOLDER, Connection, Diagnosis, Exchange, JsonObject, Stage
from integrations.providers.registry import get_provider
from mobius import clock
from mobius.atonce import WAITING_CALLS
from mobius.engine.trouble import written_at_last
from mobius.errors import RateLimitExceeded
from mobius.projects.auditing import SYSTEM, Actor

TEST_SECONDS = 15.0
_RECORDS_WITHIN_SECONDS = 10.0  # somebody waits; what is not written by then is in doubt after a minute


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a test found."""

    attempt: Attempt
    diagnosis: Diagnosis
    stages: tuple[Stage, ...]  # those that were reached, in order

    @property
    def ok(self) -> bool:
        return self.attempt.state == AttemptState.ACCEPTED


@dataclass(frozen=True, kw_only=True)
class WayBack:
    """Where the far side shall call back for a test's row."""

    attempt_id: str  # the test's own id, which the address names
    callback_url: str = field(repr=False)

    @property
    def columns(self) -> JsonObject:
        """What the row takes along, so that either door for callbacks knows it."""
        return {"request_id": self.attempt_id, "callback_url": CALLBACK_PLACEHOLDER}


def probe(
    integration: Integration,
    row: JsonObject | None = None,
    *,
    webhook: Webhook | None = None,
    connection: Connection | None = None,
    way_back: WayBack | None = None,
    by: Actor = SYSTEM,
) -> Probe:
    """Send `row`, or the provider's sample, as a test. It takes its slot and its unit like any other row.

    It goes to the current webhook, where a success resumes a paused integration, or to `webhook`: where that is a
    staged one, a success makes it ready to take over. With `connection` it goes out as that says, and what comes of it
    changes nothing for other rows: so a new auth header is tried before it replaces the old one. With `way_back` the
    row also says where to call back.

    Raises Conflict without a webhook, ActionInputInvalid, SubmissionLimitReached, and RateLimitExceeded when the
    workspace's pace leaves no slot just now, or when too many calls wait for an answer already.
    """
    with WAITING_CALLS.one():
        order = _order(integration, row, webhook or connecting.current_webhook(integration), connection, way_back)
        return _probe(integration, order, by)


def _order(
    integration: Integration,
    row: JsonObject | None,
    webhook: Webhook,
    connection: Connection | None,
    way_back: WayBack | None,
) -> Order:
    provider = get_provider(integration.provider)
    payload = row if row is not None else dict(provider.sample_row)
    return Order(
        project_id=integration.project_id,
        action=provider.action_name(provider.submit),
        parameters={"payload": payload | (way_back.columns if way_back else {})},
        webhook_id=webhook.pk,
        connection=connection,
        kind=AttemptKind.TEST,
        callback_url=way_back.callback_url if way_back else "",
        attempt_id=way_back.attempt_id if way_back else "",
        timeout_seconds=TEST_SECONDS,
    )


def _probe(integration: Integration, order: Order, by: Actor) -> Probe:
    parcel = delivering.prepare(order)
    with transaction.atomic():
        answer = delivering.reserve(parcel, now=clock.now())
    if isinstance(answer, NotNow):
        raise RateLimitExceeded("Other rows of this workspace are being sent; test again in a moment.")
    assert isinstance(answer, Sending)  # a test has no ledger entry, so it is never a duplicate
    return _send(integration, answer, by)


def _send(integration: Integration, sending: Sending, by: Actor) -> Probe:
    reached: list[Stage] = []
    exchange = delivering.send(sending, on_stage=reached.append)
    delivery = delivering.weigh(sending, exchange)
    give_up_at = time.monotonic() + _RECORDS_WITHIN_SECONDS
    written_at_last(lambda: _record(sending, exchange, delivery), lambda: time.monotonic() < give_up_at)
    to_current = Webhook.objects.filter(pk=sending.parcel.chosen.webhook.pk, state=WebhookState.CURRENT).exists()
    with transaction.atomic():
        is_well = to_current and sending.parcel.goes_as_stored and delivery.state == AttemptState.ACCEPTED
        resumed = is_well and _all_is_well(integration)
        sentence = f"Delivery {sending.parcel.attempt_id}: {AttemptState(delivery.state).label.lower()}."
        deed = "test" if to_current else "test_successor"
        connecting.note(by, deed, integration, reason=sentence, changed=["status"] if resumed else [])
    diagnosis = get_provider(integration.provider).diagnose(exchange)
    attempt = Attempt.objects.get(pk=sending.parcel.attempt_id)
    return Probe(attempt=attempt, diagnosis=diagnosis, stages=tuple(reached))


@transaction.atomic
def _record(sending: Sending, exchange: Exchange, delivery: Delivery) -> None:
    delivering.record(sending, exchange, delivery, now=clock.now())


def _all_is_well(integration: Integration) -> bool:
    """Whether the test has resumed the integration."""
    if integration.held:
        return False  # that the table answers says nothing about the rows that wait since before the restore
    if integration.status == IntegrationStatus.INACTIVE:
        connecting.activate(integration)
        return True
    connecting.clear_attention(integration)
    return False
