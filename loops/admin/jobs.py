"""Pushes of files and bulk jobs: how far they are, and the means to stop them. What the rows hold is masked."""

from __future__ import annotations

import json
from collections.abc import Callable

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from loops import bulk
from loops.models import BulkJob, Push, PushRow, RowState, Run
from loops.pushing import operating
from mobius.web.support.asking import WhyForm, actor, ask, may
from mobius.web.support.drawing import badge
from mobius.web.support.filters import Created, went_wrong
from mobius.web.support.linking import link, list_of
from mobius.web.support.reading import MOST_LINES, ReadingAdmin, lines, masked_text, preformatted
from mobius.web.support.searching import Search


@admin.register(Push)
class PushAdmin(ReadingAdmin):
    actions = ("pause_pushes", "resume_pushes", "cancel_pushes")
    not_in_lists = ("columns", "mapping", "report")
    console = ("push", "pk")
    list_display = ("id", "outcome", "name", "project", "rows", "integration_name", "created_by", "created_at")
    list_select_related = ("project",)
    list_filter = ("state", Created)
    search = Search(
        of={"intg": "integration", "loop": "loop"},
        project="project",
        help="By exact id, integration or loop id, or project handle.",
    )
    fields = (
        *("id", "name", "project", "integration", "integration_name", "loop", "outcome", "paused_because", "setbacks"),
        *("format", "read_as", "columns", "mapping", "rows", "counts", "failed"),
        *("created_by", "created_at", "started_at", "ended_at", "purged_at"),
    )
    outcome = badge("state")

    def has_pause_permission(self, request: HttpRequest) -> bool:
        return may(request, "loops.pause_push")

    def has_steer_permission(self, request: HttpRequest) -> bool:
        return may(request, "loops.steer_push")

    @admin.action(description="Pause", permissions=["pause"])
    def pause_pushes(self, request: HttpRequest, pushes: QuerySet[Push]) -> HttpResponse | None:
        sentence = "No further row is started until somebody resumes them. The few that are in line already go on."
        return self._ask(request, pushes, "pause", sentence, operating.pause)

    @admin.action(description="Resume", permissions=["steer"])
    def resume_pushes(self, request: HttpRequest, pushes: QuerySet[Push]) -> HttpResponse | None:
        sentence = "Their rows go out again at the table's pace, and spend credits there."
        return self._ask(request, pushes, "resume", sentence, operating.resume)

    @admin.action(description="Cancel", permissions=["steer"])
    def cancel_pushes(self, request: HttpRequest, pushes: QuerySet[Push]) -> HttpResponse | None:
        sentence = "What was not sent yet is never sent. A push that was never started is deleted with its rows."
        return self._ask(request, pushes, "cancel", sentence, operating.cancel)

    def _ask(
        self, request: HttpRequest, pushes: QuerySet[Push], deed: str, explanation: str, verb: Callable[..., Push]
    ) -> HttpResponse | None:
        return ask(
            self,
            request,
            pushes,
            title=f"{deed.capitalize()} these pushes?",
            button=f"{deed.capitalize()} the pushes",
            action=f"{deed}_pushes",
            explanation=explanation,
            form_class=WhyForm,
            do=lambda push, form: verb(push, by=actor(request), why=form.cleaned_data["reason"]),
        )

    @admin.display(description="rows by state")
    def counts(self, push: Push) -> SafeString | str:
        counted = PushRow.objects.of_push(push.pk).counts()
        return lines([(RowState(state).label, f"{number:,}") for state, number in counted.items()], "{}: {}")

    @admin.display(description="rows that did not arrive")
    def failed(self, push: Push) -> SafeString | str:
        rows = PushRow.objects.of_push(push.pk).in_states(*RowState.did_not_arrive()).defer("content")
        return lines(
            [
                (one.number, link(PushRow, one.pk), one.get_state_display(), one.reason)
                for one in rows.order_by("number")[: MOST_LINES + 1]
            ],
            "row {} {} {} {}",
            all_of_them=list_of(PushRow, q=push.pk, state="error"),
        )


@admin.register(PushRow)
class PushRowAdmin(ReadingAdmin):
    not_in_lists = ("content",)
    console = ("push", "push_id")
    owner = "push.project"
    page_select_related = ("push__project",)
    list_display = ("id", "outcome", "push", "number", "reason", "run_id")
    list_select_related = ("push",)
    list_filter = ("state", went_wrong("state", *RowState.did_not_arrive()))
    indexed_filters = ("state",)
    search = Search(ids=("pk",), of={"push": "push"}, help="By exact id of the row or of its push.")
    fields = ("id", "push", "number", "line", "outcome", "reason", "run", "unreadable", "content_masked")
    outcome = badge("state")

    def by_index(self, rows: QuerySet[PushRow]) -> QuerySet[PushRow]:
        return rows.filter(push__in=Push.objects.order_by())

    @admin.display(description="run")
    def run(self, row: PushRow) -> SafeString | str:
        return link(Run, row.run_id)

    @admin.display(description="content, masked")
    def content_masked(self, row: PushRow) -> SafeString:
        return preformatted(masked_text(row.content))


@admin.register(BulkJob)
class BulkJobAdmin(ReadingAdmin):
    actions = ("cancel_jobs",)
    not_in_lists = ("trouble",)
    console = ("bulk_job", "pk")
    list_display = ("id", "outcome", "deed", "project", "total", "done", "left_alone", "actor_name", "created_at")
    list_select_related = ("project",)
    list_filter = ("state", "deed", Created)
    search = Search(
        ids=("pk", "actor_id"), project="project", help="By exact id, user name or key id, or project handle."
    )
    fields = (
        *("id", "project", "deed", "filters", "reason", "outcome", "total", "done", "left_alone", "troubles"),
        *("actor_kind", "actor_id", "actor_name", "asked_at", "created_at", "ended_at"),
    )
    outcome = badge("state")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return may(request, "loops.cancel_bulkjob")

    @admin.action(description="Cancel", permissions=["cancel"])
    def cancel_jobs(self, request: HttpRequest, jobs: QuerySet[BulkJob]) -> HttpResponse | None:
        return ask(
            self,
            request,
            jobs,
            title="Cancel these bulk jobs?",
            button="Cancel the jobs",
            action="cancel_jobs",
            explanation="They do no more. What they did stays done.",
            form_class=WhyForm,
            do=lambda job, form: bulk.cancel(job, by=actor(request), why=form.cleaned_data["reason"]),
            refuse=lambda job: "" if job.is_running else f"It has ended already: it is {job.state}.",
        )

    @admin.display(description="done to what these filters found")
    def filters(self, job: BulkJob) -> SafeString:
        return preformatted(json.dumps(job.selection, indent=2))

    @admin.display(description="left alone, for example")
    def troubles(self, job: BulkJob) -> SafeString | str:
        return lines([(one["id"], one["reason"]) for one in job.trouble[:MOST_LINES]], "{} {}")
