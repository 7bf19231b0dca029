"""Runs with their steps, waits and logs, bodies masked; they can be cancelled and retried."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from integrations.models import Attempt
from loops import operating
from loops.models import Callback, Run, RunEvent, RunStatus, SourceEvent, Step, Wait
from loops.retrying import retry
from mobius.web.support.asking import WhyForm, actor, ask, may
from mobius.web.support.drawing import badge
from mobius.web.support.filters import Created, created, went_wrong
from mobius.web.support.linking import link, list_of
from mobius.web.support.reading import MOST_LINES, ReadingAdmin, ReadingInline, lines, masked, preformatted
from mobius.web.support.searching import Search, in_every_project


class StepInline(ReadingInline):
    model = Step
    not_in_lists = ("inputs", "result")
    fields = ("seq", "key", "kind", "state", "attempt", "error_type", "error_message", "started_at", "completed_at")
    ordering = ("seq",)
    state = badge("status")


def _by_row(text: str) -> list[QuerySet[Any]]:
    """The runs that sent a row under this request_id or external_id, and those that this run started."""
    sent = in_every_project(Attempt.objects.order_by())
    rows = [found.values_list("run_id", flat=True) for found in (sent.sent_under(text), sent.sent_for(text))]
    return [*rows, Run.objects.children_of(text).order_by().values_list("pk", flat=True)]


@admin.register(Run)
class RunAdmin(ReadingAdmin):
    actions = ("cancel_runs", "retry_runs")
    console = ("run", "pk")
    not_in_lists = ("event", "meta", "config", "source", "result", "warnings")
    list_display = ("id", "state", "project", "loop", "error_type", "attempt", "created_at")
    list_select_related = ("project", "loop")
    page_select_related = ("loop_version",)
    list_filter = ("status", went_wrong("status", RunStatus.FAILED), Created)
    indexed_filters = ("status",)
    search = Search(
        in_projects=("idempotency_key",),
        elsewhere=_by_row,
        of={"loop": "loop"},
        project="project",
        help="By exact run id, idempotency key, request_id or external_id of a row, loop id or project handle.",
    )
    fields = (
        *("id", "project", "loop", "loop_version", "state", "stop_reason", "error_type", "error_message"),
        *("idempotency_key", "attempt", "warnings", "wake_at", "waits_for", "waits_since", "waits_at"),
        "wall_clock_deadline_at",
        *("created_at", "started_at", "completed_at", "claim", "revision"),
        *("source_event", "event_masked", "result_masked", "attempts", "callbacks", "timeline"),
    )
    inlines: ClassVar = [StepInline]
    state = badge("status")

    def by_index(self, rows: QuerySet[Run]) -> QuerySet[Run]:
        return in_every_project(rows)

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return may(request, "loops.cancel_run")

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return may(request, "loops.retry_run")

    @admin.action(description="Cancel", permissions=["cancel"])
    def cancel_runs(self, request: HttpRequest, runs: QuerySet[Run]) -> HttpResponse | None:
        return ask(
            self,
            request,
            runs,
            title="Cancel these runs?",
            button="Cancel the runs",
            action="cancel_runs",
            explanation="They end at once and cannot be brought back. Rows that were sent stay in the table.",
            form_class=WhyForm,
            do=lambda run, form: operating.cancel(run, by=actor(request), reason=form.cleaned_data["reason"]),
            refuse=lambda run: f"It has ended already: it is {run.status}." if run.has_ended else "",
        )

    @admin.action(description="Retry", permissions=["retry"])
    def retry_runs(self, request: HttpRequest, runs: QuerySet[Run]) -> HttpResponse | None:
        return ask(
            self,
            request,
            runs,
            title="Retry these runs?",
            button="Retry the runs",
            action="retry_runs",
            explanation="They go on from the step that failed. A row that was accepted is not sent again.",
            form_class=WhyForm,
            do=lambda run, form: retry(run, by=actor(request), reason=form.cleaned_data["reason"]),
        )

    @admin.display(description="source event")
    def source_event(self, run: Run) -> SafeString | str:
        return link(SourceEvent, run.source_event_id)

    @admin.display(description="event, masked")
    def event_masked(self, run: Run) -> SafeString:
        return preformatted("purged" if run.purged_at else masked(run.event))

    @admin.display(description="result, masked")
    def result_masked(self, run: Run) -> SafeString:
        return preformatted("purged" if run.purged_at else masked(run.result))

    @admin.display(description="rows sent")
    def attempts(self, run: Run) -> SafeString | str:
        sent = Attempt.objects.of_run(run.pk).without_bodies()[: MOST_LINES + 1]
        return lines(
            [(one.created_at, link(Attempt, one.pk), one.get_state_display(), one.status_code or "") for one in sent],
            "{} {} {} {}",
            all_of_them=list_of(Attempt, q=run.pk),
        )

    @admin.display(description="callbacks")
    def callbacks(self, run: Run) -> SafeString | str:
        came = Callback.objects.of_run(run.pk).without_bodies()[: MOST_LINES + 1]
        return lines(
            [(one.received_at, link(Callback, one.pk), one.get_state_display()) for one in came],
            "{} {} {}",
            all_of_them=list_of(Callback, q=run.pk),
        )

    @admin.display(description="timeline, latest first")
    def timeline(self, run: Run) -> SafeString | str:
        latest = RunEvent.objects.filter(run=run).order_by("-sequence").defer("payload")[: MOST_LINES + 1]
        return lines(
            [(one.created_at, one.sequence, one.event_type, one.step_key) for one in latest],
            "{} {} {} {}",
            all_of_them=list_of(RunEvent, q=run.pk),
        )


@admin.register(Step)
class StepAdmin(ReadingAdmin):
    not_in_lists = ("inputs", "result")
    console = ("run", "run_id")
    owner = "run.project"
    page_select_related = ("run__project",)
    list_display = ("id", "state", "kind", "attempt", "error_type", "created_at", "completed_at")
    list_filter = (created("pk", "run"),)
    search = Search(ids=("pk", "run"), help="By exact id or run id.")
    fields = (
        *("id", "run", "key", "name", "seq", "kind", "state", "attempt", "error_type", "error_message", "deadline_at"),
        *("created_at", "started_at", "completed_at", "inputs_masked", "result_masked"),
    )
    state = badge("status")

    @admin.display(description="inputs, masked")
    def inputs_masked(self, step: Step) -> SafeString:
        return preformatted(masked(step.inputs))

    @admin.display(description="result, masked")
    def result_masked(self, step: Step) -> SafeString:
        return preformatted(masked(step.result))


@admin.register(Wait)
class WaitAdmin(ReadingAdmin):
    console = ("run", "run_id")
    owner = "run.project"
    page_select_related = ("run__project", "step")
    list_display = ("id", "outcome", "run_id", "event_type", "expires_at", "created_at", "closed_at")
    list_filter = ("state", Created)
    search = Search(ids=("pk", "run"), of={"loop": "loop"}, help="By exact id, run id or loop id.")
    fields = ("id", "run", "step", "event_type", "source_step_id", "outcome", "created_at", "expires_at", "closed_at")
    outcome = badge("state")


@admin.register(RunEvent)
class RunEventAdmin(ReadingAdmin):
    """A log is looked up by its run: there are ten lines of it to each, and no index but that one."""

    not_in_lists = ("payload",)
    console = ("run", "run_id")
    owner = "run.project"
    page_select_related = ("run__project",)
    list_display = ("__str__", "event_type", "step_key", "created_at")
    search = Search(ids=(), of={"run": "run"}, help="By exact run id.")
    fields = ("run", "sequence", "event_type", "step_key", "created_at", "payload")
