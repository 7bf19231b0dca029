"""The pages of pushes: choose a file, map its columns, see what pushing it does, and watch it go."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from integrations.models import Integration
from loops.console.lists import chosen
from loops.console.push_forms import MappingForm, RowsForm
from loops.console.queue import ShownQueue, rows_in_words
from loops.console.showing_pushes import ShownProgress, shown_reasons
from loops.models import Push, PushRow, PushState
from loops.pushing import checking, drafting, operating
from loops.pushing.failures import failures_file
from loops.pushing.mapping import Mapping
from loops.pushing.progress import progress_of, progress_of_each
from loops.pushing.reading import LARGEST_FILE_BYTES, MOST_ROWS
from mobius import clock
from mobius.errors import MobiusError
from mobius.projects.models import Project
from mobius.projects.roles import Permission
from mobius.web.access import ProjectRequest, project_page
from mobius.web.forms import explain, form_page
from mobius.web.lists import rows

PREVIEWED = 3
"""Rows that are shown as they will be sent."""


@dataclass(frozen=True)
class ShownRow:
    line: int
    event: dict[str, Any]

    @property
    def title(self) -> str:
        return f"Line {self.line:,}"

    @property
    def body(self) -> dict[str, Any]:
        """As the table gets it: the ids that the row does not have itself come to it."""
        row: dict[str, Any] = self.event["row"]
        ids = {name: self.event[name] for name in ("request_id", "external_id")}
        return row | {name: text for name, text in ids.items() if text and name not in row}


@require_safe
@project_page(Permission.READ)
def push_list(request: ProjectRequest, project: Project) -> HttpResponse:
    pushes = Push.objects.of_project(project).select_related("integration__pacer")
    if state := chosen(request, "state", PushState):
        pushes = pushes.in_state(state)
    page = rows(request, pushes)
    progress = progress_of_each(page.items, now=clock.now())
    context = {
        "page": page,
        "pushes": [ShownProgress(push=push, progress=one) for push, one in zip(page.items, progress, strict=True)],
        "state": state,
        "states": [(one.value, one.label) for one in PushState.seen()],
        "may_push": request.access.allows(Permission.OPERATE),
    }
    return render(request, "loops/pushes.html", context)


@form_page
@project_page(Permission.OPERATE)
def push_new(request: ProjectRequest, project: Project) -> HttpResponse:
    integrations = Integration.objects.filter(project=project).select_related("pacer", "project").order_by("name")
    posted = request.method == "POST"
    form = RowsForm(
        request.POST if posted else None,
        request.FILES if posted else None,
        integrations=integrations,
        initial={"integration": request.GET.get("integration", "")},
    )
    if posted and form.is_valid():
        try:
            push = drafting.draft(**form.file(), by=request.actor)
        except MobiusError as error:
            explain(form, error, names={"": form.source})
        else:
            return redirect("console:push", project.handle, push.pk)
    context = {
        "form": form,
        "connected": integrations.exists(),
        "most_rows": f"{MOST_ROWS:,}",
        "largest": f"{LARGEST_FILE_BYTES // 2**20} MB",
    }
    return render(request, "loops/push_new.html", context, status=422 if form.errors else 200)


@never_cache
@require_safe
@project_page(Permission.READ)
def push_page(request: ProjectRequest, project: Project, push_id: str) -> HttpResponse:
    return _draw(request, find_push(project, push_id))


@never_cache
@require_safe
@project_page(Permission.READ)
def push_live(request: ProjectRequest, project: Project, push_id: str) -> HttpResponse:
    """The part that changes while it goes; a push in another `state` than the page shows has the page drawn anew."""
    push = find_push(project, push_id)
    if request.GET.get("state", push.state) != push.state:
        return HttpResponse(status=204, headers={"HX-Refresh": "true"})
    shown = ShownProgress(push=push, progress=progress_of(push, now=clock.now()))
    return render(request, "loops/push_live.html", {"push": push, "shown": shown})


@form_page
@project_page(Permission.OPERATE)
def push_check(request: ProjectRequest, project: Project, push_id: str) -> HttpResponse:
    """The dry run. (A reload of the page with the mistakes is a GET.)"""
    push = find_push(project, push_id)
    if request.method != "POST":
        return redirect("console:push", project.handle, push.pk)
    form = MappingForm(request.POST, push=push)
    if form.is_valid():
        try:
            checking.check(push, form.mapping(), by=request.actor)
        except MobiusError as error:
            explain(form, error, inside="request_id")
        else:
            return redirect("console:push", project.handle, push.pk)
    return _draw(request, find_push(project, push_id), form=form)


@require_POST
@project_page(Permission.OPERATE)
def push_start(request: ProjectRequest, project: Project, push_id: str) -> HttpResponse:
    return _do(request, project, push_id, operating.start, "Started: the rows go out at the pace.")


@require_POST
@project_page(Permission.OPERATE)
def push_pause(request: ProjectRequest, project: Project, push_id: str) -> HttpResponse:
    return _do(request, project, push_id, operating.pause, "Paused. The few rows that are in line already go on.")


@require_POST
@project_page(Permission.OPERATE)
def push_resume(request: ProjectRequest, project: Project, push_id: str) -> HttpResponse:
    return _do(request, project, push_id, operating.resume, "It goes on where it was.")


@form_page
@project_page(Permission.OPERATE)
def push_cancel(request: ProjectRequest, project: Project, push_id: str) -> HttpResponse:
    push = find_push(project, push_id)
    if request.method != "POST":
        waiting = rows_in_words(progress_of(push, now=clock.now()).open)
        return render(request, "loops/push_cancel.html", {"push": push, "waiting": waiting})
    try:
        ended = operating.cancel(push, by=request.actor)
    except MobiusError as error:  # somebody, or a second press of the button, was quicker
        messages.error(request, error.message)
        gone = not push.was_started
    else:
        gone = ended.started_at is None  # somebody may have started it meanwhile
        discarded = f"“{push.name}” is discarded. Nothing of it was sent."
        messages.success(request, discarded if gone else "Cancelled: what was not sent yet never is.")
    return redirect("console:pushes", project.handle) if gone else redirect("console:push", project.handle, push.pk)


@require_safe
@project_page(Permission.READ)
def push_failed(request: ProjectRequest, project: Project, push_id: str) -> HttpResponseBase:
    return failures_file(find_push(project, push_id))


def find_push(project: Project, push_id: str) -> Push:
    found = Push.objects.of_project(project).select_related("integration__pacer", "loop").filter(pk=push_id).first()
    if found is None:
        raise Http404("There is no such push.")
    return found


def _do(request: ProjectRequest, project: Project, push_id: str, verb: Callable[..., Push], said: str) -> HttpResponse:
    push = find_push(project, push_id)
    try:
        verb(push, by=request.actor)
    except MobiusError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, said)
    return redirect("console:push", project.handle, push.pk)


def _draw(request: ProjectRequest, push: Push, *, form: MappingForm | None = None) -> HttpResponse:
    context: dict[str, Any] = {
        "push": push,
        "rows": rows_in_words(push.rows),
        "shown": ShownProgress(push=push, progress=progress_of(push, now=clock.now())),
        "reasons": shown_reasons(push.report),
        "live": push.was_started and not push.has_ended,
    }
    if not push.was_started and push.purged_at is None:
        queue = checking.forecast(push) if push.state == PushState.CHECKED else None
        mapping = Mapping.stored(push.mapping)
        context["form"] = form or MappingForm(push=push)
        context["preview"] = _preview(push, mapping)
        if queue is not None and push.integration is not None:
            context["forecast"] = ShownQueue(queue=queue, integration=push.integration)
            context["ready"] = rows_in_words(queue.rows)
    status = 422 if form is not None and form.errors else 200
    return render(request, "loops/push.html", context | _abilities(request), status=status)


def _preview(push: Push, mapping: Mapping) -> list[ShownRow]:
    first = PushRow.objects.of_push(push.pk).readable().order_by("number")[:PREVIEWED]
    return [ShownRow(row.line, mapping.event(json.loads(row.content), push.columns)) for row in first]


def _abilities(request: ProjectRequest) -> dict[str, bool]:
    return {"may_push": request.access.allows(Permission.OPERATE)}
