"""Which runs, deliveries or callbacks somebody means: what a list shows, and what a bulk job goes through."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Coalesce

from integrations.models import Attempt, AttemptQuerySet, Webhook
from loops.models import Callback, CallbackQuerySet, Run, RunQuerySet
from mobius.ids import first_id
from mobius.projects.models import Project

_FOUND_AT_MOST = 1_000
"""By one look-up, however many there are."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Filters that all hold; an empty one holds for everything."""

    state: str = ""
    of: str = ""  # the id of a run's loop, or of the integration that a delivery went through or a callback answers
    through: str = ""  # the id of the integration that a row of the run went through, or waits at
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
    if selection.through:
        sent = Attempt.objects.filter(run_id=OuterRef("pk"), integration=selection.through)
        runs = runs.filter(Exists(sent) | Q(waits_at=selection.through))
    if text := selection.text:
        of_project = Run.objects.of_project(project)
        of_runs = (of_project.holding_key(text), of_project.children_of(text))
        among = Attempt.objects.of_project(project)
        rows = (among.sent_under(text), among.sent_for(text))
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
        look_ups = (among.sent_under(text), among.sent_for(text), among.of_run(text))
        attempts = attempts.filter(pk__in=[text, *found_ids(*look_ups)])
    return attempts


def through_webhooks(project: Project, selection: Selection) -> AttemptQuerySet:
    """As `deliveries_selected`, without its text, for those who count states: the index of webhooks holds them."""
    webhooks, attempts = Webhook.objects.filter(project=project), Attempt.objects.all()
    if selection.of:
        webhooks = webhooks.filter(integration=selection.of)
        # As an expression: else the index of integrations, which holds no states, is taken for the better one.
        attempts = attempts.alias(through=Coalesce("integration_id", Value(""))).filter(through=selection.of)
    return _within(attempts.filter(webhook__in=webhooks), "att", selection)


def callbacks_selected(project: Project, selection: Selection) -> CallbackQuerySet:
    """By text: its id, its run's id, or the request_id that it came under."""
    callbacks = _within(Callback.objects.of_project(project), "cbk", selection)
    if selection.state:
        callbacks = callbacks.in_state(selection.state)
    if selection.of:
        callbacks = callbacks.for_rows_among(Attempt.objects.filter(integration=selection.of))
    if text := selection.text:
        among = Callback.objects.of_project(project)
        callbacks = callbacks.filter(pk__in=[text, *found_ids(among.known_as(text), among.of_run(text))])
    return callbacks


def found_ids(*look_ups: QuerySet[Any], field: str = "pk") -> list[str]:
    """The ids of what they find, of each the newest; one statement."""
    # Each is answered by an index of its own; OR would have the database read them all.
    parts, parameters = [], []
    for one in look_ups:
        sliced = one.order_by("-pk").values_list(field)[:_FOUND_AT_MOST]
        sql, given = sliced.query.get_compiler(connection=connection).as_sql()
        parts.append(f"SELECT * FROM ({sql}) AS found")  # noqa: S608 - as Django compiled it
        parameters += given
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts), parameters)
        return [pk for (pk,) in cursor.fetchall()]


Rows = TypeVar("Rows", bound=QuerySet[Any])


def _within(queryset: Rows, prefix: str, selection: Selection) -> Rows:
    """Ids know the time, so that the index of ids answers."""
    if selection.since:
        queryset = queryset.filter(pk__gte=first_id(prefix, _midnight(selection.since)))
    if selection.until:
        queryset = queryset.filter(pk__lt=first_id(prefix, _midnight(selection.until) + timedelta(days=1)))
    return queryset


def _midnight(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC)
