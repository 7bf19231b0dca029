"""Rows sent for a test as a run's step sends them: reserved, sent and recorded, each in its own transaction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from django.db import transaction

from integrations import delivering
from integrations.delivering import AlreadyAccepted, NotNow, Order, Sending
from integrations.judging import Delivery
from integrations.models import Attempt, Webhook
from integrations.providers.contract import Exchange
from mobius import clock
from mobius.projects.models import Project

ROW = {"payload": {"email": "ada@example.com"}, "request_id": "req_123"}
SUBMIT = "clay.webhook.submit"


@dataclass(frozen=True)
class Outcome:
    """One row that went out, and what was written down about it."""

    sending: Sending
    exchange: Exchange
    delivery: Delivery

    @property
    def attempt(self) -> Attempt:
        return Attempt.objects.get(pk=self.sending.parcel.attempt_id)

    @property
    def webhook(self) -> Webhook:
        return Webhook.objects.get(pk=self.attempt.webhook_id)

    @property
    def counts(self) -> tuple[int, int]:
        """Used and in flight."""
        return self.webhook.used, self.webhook.in_flight


def order(project: Project, parameters: dict[str, Any] = ROW, **changes: Any) -> Order:
    return replace(Order(project_id=project.pk, action=SUBMIT, parameters=parameters), **changes)


def reserve(wanted: Order) -> Sending | NotNow | AlreadyAccepted:
    with transaction.atomic():
        return delivering.reserve(delivering.prepare(wanted), now=clock.now())


def begin(wanted: Order) -> Sending:
    answer = reserve(wanted)
    assert isinstance(answer, Sending)
    return answer


def finish(sending: Sending) -> Outcome:
    exchange = delivering.send(sending)
    delivery = delivering.weigh(sending, exchange)
    with transaction.atomic():
        delivering.record(sending, exchange, delivery, now=clock.now())
    return Outcome(sending, exchange, delivery)


def deliver(project: Project, parameters: dict[str, Any] = ROW, **changes: Any) -> Outcome:
    return finish(begin(order(project, parameters, **changes)))
