"""Which runs or deliveries somebody means: what a list shows, and what a bulk job goes through."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from django.db.models import QuerySet, Value
from django.db.models.functions import Coalesce

from integrations.models import Attempt, AttemptQuerySet, Webhook
from loops.models import Run, RunQuerySet
from mobius.ids import first_id
from mobius.projects.models import Project

_FOUND_AT_MOST = 1_000
"""By one look-up, however many there are."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Filters that all hold; an empty one holds for everything."""

    state: str = ""
    of: str = ""  # the id of a run's loop, or of the integration that a delivery went through
    since: str = ""  # the first day, in UTC, such as 2026-11-28
    until: str = ""  # the last day
    text: str = ""  # a whole id of whatever kind

    def __bool__(self) -> bool:
        return any(asdict(self).values())

    def as_json(self) -> dict[str, str]:
        return {name: value for name, value in asdict(self).items() if value}


def runs_selected(project: Project, selection: Selection) -> RunQuerySet:
    """By text: its id, its idempotency key, the request_id or external_id of a row that it sent, or the id of the run
    that started it."""
    runs = _within(Run.objects.of_project(project), "run", selection)
    if selection.state:
        runs = runs.in_status(selection.state)
    if selection.of:
        runs = runs.of_loop(selection.of)
    if text := selection.text:
        of_project = Run.objects.of_project(project)
        of_runs = (of_project.holding_key(text), of_project.children_of(text))
        sent = Attempt.objects.of_project(project)
        rows = (sent.sent_under(text), sent.sent_for(text))
        runs = runs.filter(pk__in={text, *found_ids(*of_runs), *found_ids(*rows, field="run_id")})
    return runs


def deliveries_selected(project: Project, selection: Selection) -> AttemptQuerySet:
    """By text: its id, its run's id, its request_id or its external_id."""
    among = Attempt.objects.of_project(project)
    if selection.of:
        among = among.filter(integration=selection.of)
    attempts = _within(among, "att", selection)
    if selection.state:
        attempts = attempts.in_state(selection.state)
    if text := selection.text:
        look_ups = (among.sent_under(text), among.sent_for(text), Attempt.objects.of_run(text))
        attempts = attempts.filter(pk__in=[text, *found_ids(*look_ups)])
    return attempts


def through_webhooks(project: Project, selection: Selection) -> AttemptQuerySet:
    """As `deliveries_selected`, without its text, for those who count states: the index of webhooks holds them."""
    webhooks, attempts = Webhook.objects.filter(project=project), Attempt.objects.all()
    if selection.of:
        webhooks = webhooks.filter(integration=selection.of)
        attempts = attempts.known_by_others_to_be_through(selection.of)
    return _within(attempts.filter(webhook__in=webhooks), "att", selection)


def found_ids(*look_ups: QuerySet[Any], field: str = "pk") -> list[str]:
    """The ids of what they find, of each the newest."""
    # One query for each index; OR would have the database read them all. Ordered by an expression: else an index of ids
    # is taken, which knows the order, and is read to its end for want of what is looked for.
    newest = Coalesce("pk", Value("")).desc()
    return [pk for one in look_ups for pk in one.order_by(newest).values_list(field, flat=True)[:_FOUND_AT_MOST]]


Q = TypeVar("Q", bound=QuerySet[Any])


def _within(queryset: Q, prefix: str, selection: Selection) -> Q:
    """Ids know the time, so that the index of ids answers."""
    if selection.since:
        queryset = queryset.filter(pk__gte=first_id(prefix, _midnight(selection.since)))
    if selection.until:
        queryset = queryset.filter(pk__lt=first_id(prefix, _midnight(selection.until) + timedelta(days=1)))
    return queryset


def _midnight(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC)
