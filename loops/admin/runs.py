"""Runs, what they sent and what came back, with bodies masked.

Three things can be done, each with a permission of its own and a page that asks: settle a delivery, cancel a run, retry
a run.
"""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from integrations.admin import AttemptAdmin
from integrations.models import Attempt
from integrations.settling import Decision
from loops import operating
from loops.console.forms import ReasonForm, SettleForm
from loops.models import Callback, Run, RunEvent, SourceEvent, Step, Wait
from loops.retrying import retry
from loops.settling import settle
from mobius.projects.admin_asking import actor, ask, may
from mobius.projects.admin_reading import MOST_LINES, ReadingAdmin, ReadingInline, lines, link, masked, preformatted


class StepInline(ReadingInline):
    model = Step
    not_in_lists = ("inputs", "result")
    fields = ("seq", "key", "kind", "status", "attempt", "error_type", "error_message", "started_at", "completed_at")
    ordering = ("seq",)


@admin.register(Attempt)
class SettlingAdmin(AttemptAdmin):
    actions = ("settle_deliveries",)

    def has_settle_permission(self, request: HttpRequest) -> bool:
        return may(request, "integrations.settle_attempt")

    @admin.action(description="Settle deliveries in doubt", permissions=["settle"])
    def settle_deliveries(self, request: HttpRequest, attempts: QuerySet[Attempt]) -> HttpResponse | None:
        def settle_one(attempt: Attempt, form: SettleForm) -> None:
            settle(
                attempt, Decision(form.cleaned_data["decision"]), reason=form.cleaned_data["reason"], by=actor(request)
            )

        return ask(
            self,
            request,
            attempts,
            title="Did the rows arrive?",
            button="Settle",
            action="settle_deliveries",
            explanation="Look into the table first. “Send again” may create the row a second time, and spends credits.",
            form_class=SettleForm,
            do=settle_one,
        )


@admin.register(Run)
class RunAdmin(ReadingAdmin):
    actions = ("cancel_runs", "retry_runs")
    not_in_lists = ("event", "meta", "config", "source", "result", "warnings")
    list_display = ("id", "project", "loop", "status", "error_type", "attempt", "created_at", "completed_at")
    list_select_related = ("project", "loop", "loop_version")
    list_filter = ("status", "created_at")
    search_fields = ("id__exact", "idempotency_key__exact", "loop__id__exact", "project__handle__exact")
    search_help_text = "By exact run id, idempotency key, loop id or project handle."
    fields = (
        *("id", "project", "loop", "loop_version", "status", "stop_reason", "error_type", "error_message"),
        *("idempotency_key", "attempt", "warnings", "wake_at", "waits_for", "waits_since", "waits_at"),
        "wall_clock_deadline_at",
        *("created_at", "started_at", "completed_at", "claim", "revision"),
        *("source_event", "event_masked", "result_masked", "attempts", "callbacks", "timeline"),
    )
    inlines: ClassVar = [StepInline]

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return may(request, "loops.operate_run")

    @admin.action(description="Cancel runs", permissions=["operate"])
    def cancel_runs(self, request: HttpRequest, runs: QuerySet[Run]) -> HttpResponse | None:
        return ask(
            self,
            request,
            runs,
            title="Cancel these runs?",
            button="Cancel the runs",
            action="cancel_runs",
            explanation="They end at once and cannot be brought back. Rows that were sent stay in the table.",
            form_class=ReasonForm,
            do=lambda run, form: operating.cancel(run, by=actor(request), reason=form.cleaned_data["reason"]),
        )

    @admin.action(description="Retry failed runs", permissions=["operate"])
    def retry_runs(self, request: HttpRequest, runs: QuerySet[Run]) -> HttpResponse | None:
        return ask(
            self,
            request,
            runs,
            title="Retry these runs?",
            button="Retry the runs",
            action="retry_runs",
            explanation="They go on from the step that failed. A row that was accepted is not sent again.",
            form_class=ReasonForm,
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
        sent = Attempt.objects.of_run(run.pk).without_bodies()[:MOST_LINES]
        return lines(
            [(one.created_at, link(Attempt, one.pk), one.get_state_display(), one.status_code or "") for one in sent],
            "{} {} {} {}",
        )

    @admin.display(description="callbacks")
    def callbacks(self, run: Run) -> SafeString | str:
        came = Callback.objects.filter(run=run).defer("body").order_by("pk")[:MOST_LINES]
        return lines([(one.received_at, link(Callback, one.pk), one.get_state_display()) for one in came], "{} {} {}")

    @admin.display(description="timeline, latest first")
    def timeline(self, run: Run) -> SafeString | str:
        latest = RunEvent.objects.filter(run=run).order_by("-sequence")[:MOST_LINES]
        return lines([(one.created_at, one.sequence, one.event_type, one.step_key) for one in latest], "{} {} {} {}")


@admin.register(Step)
class StepAdmin(ReadingAdmin):
    not_in_lists = ("inputs", "result")
    list_display = ("id", "kind", "status", "attempt", "error_type", "created_at", "completed_at")
    list_filter = ("status", "kind", "created_at")
    search_fields = ("id__exact", "run__id__exact")
    search_help_text = "By exact id or run id."
    fields = (
        *("id", "run", "key", "name", "seq", "kind", "status", "attempt", "error_type", "error_message", "deadline_at"),
        *("created_at", "started_at", "completed_at", "inputs_masked", "result_masked"),
    )

    @admin.display(description="inputs, masked")
    def inputs_masked(self, step: Step) -> SafeString:
        return preformatted(masked(step.inputs))

    @admin.display(description="result, masked")
    def result_masked(self, step: Step) -> SafeString:
        return preformatted(masked(step.result))


@admin.register(Wait)
class WaitAdmin(ReadingAdmin):
    list_display = ("id", "run_id", "event_type", "state", "expires_at", "created_at", "closed_at")
    list_filter = ("state", "created_at")
    search_fields = ("id__exact", "run__id__exact")
    search_help_text = "By exact id or run id."
    fields = ("id", "run", "step", "event_type", "source_step_id", "state", "created_at", "expires_at", "closed_at")


@admin.register(Callback)
class CallbackAdmin(ReadingAdmin):
    not_in_lists = ("body",)
    list_display = ("id", "project", "run_id", "state", "request_id", "repeats", "received_at")
    list_select_related = ("project",)
    list_filter = ("state", "received_at")
    search_fields = ("id__exact", "request_id__exact", "run__id__exact", "step_id__exact", "project__handle__exact")
    search_help_text = "By exact id, request_id, run id, step id or project handle."
    fields = (
        *("id", "project", "run", "step_id", "state", "request_id", "used_by", "repeats", "remark", "received_at"),
        *("body_digest", "body_masked"),
    )

    @admin.display(description="body, masked")
    def body_masked(self, callback: Callback) -> SafeString:
        return preformatted("purged" if callback.purged_at else masked(callback.body))


@admin.register(RunEvent)
class RunEventAdmin(ReadingAdmin):
    not_in_lists = ("payload",)
    list_display = ("__str__", "event_type", "step_key", "created_at")
    list_filter = ("event_type", "created_at")
    search_fields = ("run__id__exact",)
    search_help_text = "By exact run id."
    fields = ("run", "sequence", "event_type", "step_key", "created_at", "payload")
