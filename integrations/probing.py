"""Testing a connection: one marked row, sent for real, and what its answer means."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction

from integrations import connecting, delivering
from integrations.delivering import NotNow, Order, Sending
from integrations.models import Attempt, AttemptKind, AttemptState, Integration, IntegrationStatus
from integrations.providers.contract import Diagnosis, JsonObject, Stage
from integrations.providers.registry import get_provider
from mobius import clock
from mobius.errors import RateLimitExceeded
from mobius.projects.auditing import SYSTEM, Actor

TEST_SECONDS = 15.0


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a test found."""

    attempt: Attempt
    diagnosis: Diagnosis
    stages: tuple[Stage, ...]  # those that were reached, in order

    @property
    def ok(self) -> bool:
        return self.attempt.state == AttemptState.ACCEPTED


def probe(integration: Integration, row: JsonObject | None = None, *, by: Actor = SYSTEM) -> Probe:
    """Send `row`, or the provider's sample, as a test. It takes its slot and its unit like any other row.

    A success resumes a paused integration. Raises ActionInputInvalid, SubmissionLimitReached, and RateLimitExceeded
    when the workspace's pace leaves no slot just now.
    """
    provider = get_provider(integration.provider)
    parcel = delivering.prepare(
        Order(
            project_id=integration.project_id,
            action=provider.action_name(provider.submit),
            parameters={"payload": row if row is not None else dict(provider.sample_row)},
            integration_id=integration.pk,
            kind=AttemptKind.TEST,
            timeout_seconds=TEST_SECONDS,
        )
    )
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
    with transaction.atomic():
        delivering.record(sending, exchange, delivery, now=clock.now())
    if delivery.state == AttemptState.ACCEPTED and integration.status == IntegrationStatus.INACTIVE:
        connecting.resume(integration, by=by)
    elif delivery.state == AttemptState.ACCEPTED:
        connecting.clear_attention(integration)
    diagnosis = get_provider(integration.provider).diagnose(exchange)
    attempt = Attempt.objects.get(pk=sending.parcel.attempt_id)
    return Probe(attempt=attempt, diagnosis=diagnosis, stages=tuple(reached))
