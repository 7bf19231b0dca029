"""Which runs, deliveries or callbacks somebody means: what a list shows, and what a bulk job goes through."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Coalesce

from integrations.models import Attempt, AttemptQuerySet
from loops.models import Callback, CallbackQuerySet, Run, RunQuerySet, RunStatus
from mobius.ids import first_id
from mobius.indexes import by_another_index
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
    ids: str = ""  # of those that somebody has picked, joined by commas

    def __bool__(self) -> bool:
        return any(asdict(self).values())

    def as_json(self) -> dict[str, str]:
        return {name: value for name, value in asdict(self).items() if value}


def runs_selected(project: Project, selection: Selection) -> RunQuerySet:
    """By text: its id, its idempotency key, the request_id or external_id of a row that it sent, or the id of the run
    that started it."""
    runs = _within(Run.objects.of_project(project), "run", selection)
    if selection.of:
        runs = runs.of_loop(selection.of)
    if selection.state:
        runs = runs_in_status(runs, selection, selection.state)
    if selection.through:
        waiting = Run.objects.standing_at(selection.through)
        ids = found_ids(_newest(_sent_through(selection.through), "run_id"), _newest(waiting, "pk"))
        few = len(ids) <= _FOUND_AT_MOST
        runs = runs.filter(_one_of(ids) if few else _has_sent_through(selection.through, "pk"))
    if text := selection.text:
        of_project = Run.objects.of_project(project)
        of_runs = (of_project.holding_key(text), of_project.children_of(text))
        among = Attempt.objects.of_project(project)
        rows = (among.sent_under(text), among.sent_for(text))
        ids = found_ids(*(_known_as(one, "pk") for one in of_runs), *(_known_as(one, "run_id") for one in rows))
        runs = runs.filter(pk__in={text, *ids})
    return runs


def runs_in_status(runs: RunQuerySet, selection: Selection, status: str) -> RunQuerySet:
    """Those of the `runs` of a selection that are in this status.

    An index knows the runs of each status and their loops. Only what most runs of a loop come to is shown sooner by its
    newest ones than by those of all loops.
    """
    if selection.of and status == RunStatus.COMPLETED:
        return by_another_index(runs, "status", status).order_by("-pk")
    return runs.in_status(status)


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
        attempts = attempts.filter(pk__in=[text, *found_ids(*(_known_as(one, "pk") for one in look_ups))])
    return attempts


def callbacks_selected(project: Project, selection: Selection) -> CallbackQuerySet:
    """By text: its id, its run's id, or the request_id that it came under."""
    callbacks = _within(Callback.objects.of_project(project), "cbk", selection)
    if selection.state:
        callbacks = callbacks.in_state(selection.state)
    if selection.of:
        ids = found_ids(_newest(_sent_through(selection.of), "run_id"))
        few = len(ids) <= _FOUND_AT_MOST
        of_runs = _one_of(ids, "run_id") if few else _has_sent_through(selection.of, "run_id")
        callbacks = callbacks.filter(of_runs | _one_of(found_ids(_answers_to_tests(selection.of))))
    if text := selection.text:
        look_ups = (Callback.objects.of_project(project).known_as(text), Callback.objects.of_run(text))
        callbacks = callbacks.filter(pk__in=[text, *found_ids(*(_known_as(one, "pk") for one in look_ups))])
    return callbacks


def found_ids(*look_ups: QuerySet[Any]) -> list[str]:
    """What these look-ups of one column find, each of at most one more than `_FOUND_AT_MOST`; one statement."""
    # Each is answered by an index of its own; OR would have the database read them all.
    parts, parameters = [], []
    for one in look_ups:
        sql, given = one.query.get_compiler(connection=connection).as_sql()
        parts.append(f"SELECT * FROM ({sql}) AS found")  # noqa: S608 - as Django compiled it
        parameters += given
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts), parameters)
        return [pk for (pk,) in cursor.fetchall()]


def _newest(queryset: QuerySet[Any], field: str) -> QuerySet[Any]:
    return queryset.order_by("-pk").values_list(field)[: _FOUND_AT_MOST + 1]


def _known_as(queryset: QuerySet[Any], field: str) -> QuerySet[Any]:
    # Ordered by an expression: else an index of ids is taken, which knows the order, and is read to its end for want of
    # what is looked for.
    return queryset.order_by(Coalesce("pk", Value("")).desc()).values_list(field)[: _FOUND_AT_MOST + 1]


def _one_of(ids: Collection[str], field: str = "pk") -> Q:
    return Q(**{f"{field}__in": set(ids) or {""}})  # no id is empty


def _sent_through(integration_id: str) -> AttemptQuerySet:
    return Attempt.objects.filter(integration=integration_id).exclude(run_id="")


def _answers_to_tests(integration_id: str) -> QuerySet[Any]:
    """Of the callbacks without a run, which are few, those that answer a test of the integration."""
    test = Attempt.objects.filter(pk=OuterRef("step_id"), integration=integration_id)
    return _known_as(Callback.objects.without_run().filter(Exists(test)), "pk")


def _has_sent_through(integration_id: str, field: str) -> Q:
    """That the run whose id is in `field` has sent a row through this integration, or waits to.

    For an integration through which many have: the newest of them soon show, and each is asked by itself.
    """
    # As a range: for an equation PostgreSQL would first read everything that ever went through into a hash table.
    sent = _by_integration(integration_id).filter(run_id__gte=OuterRef(field), run_id__lte=OuterRef(field))
    waits = Q(waits_at=integration_id) if field == "pk" else Q()
    return Q(Exists(sent)) | waits


def _by_integration(integration_id: str) -> AttemptQuerySet:
    """As an expression: else the index of integrations is taken for the better one, whatever else is asked for."""
    return Attempt.objects.alias(through=Coalesce("integration_id", Value(""))).filter(through=integration_id)


Rows = TypeVar("Rows", bound=QuerySet[Any])


def _within(queryset: Rows, prefix: str, selection: Selection) -> Rows:
    """Those that are picked, or all; between the days. Ids know the time, so that the index of ids answers."""
    if selection.ids:
        queryset = queryset.filter(pk__in=selection.ids.split(","))
    if selection.since:
        queryset = queryset.filter(pk__gte=first_id(prefix, _midnight(selection.since)))
    if selection.until:
        queryset = queryset.filter(pk__lt=first_id(prefix, _midnight(selection.until) + timedelta(days=1)))
    return queryset


def _midnight(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC)
