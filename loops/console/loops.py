"""The pages of loops: write them, pause them, start a run."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from loops import authoring
from loops.console.examples import STARTER_LOOP, example_event, start_curl
from loops.console.finding import find_loop
from loops.console.forms import JsonObject, LoopForm, StartForm
from loops.console.lists import chosen
from loops.console.showing import editable, shown
from loops.console.triggers import shown_triggers, without_handles
from loops.models import Loop, LoopStatus, LoopVersion, Run
from loops.recipes import callers
from loops.starting import IdempotencyKeyConflict, Start, start_run
from loops.versions import spec_of
from mobius.errors import MobiusError
from mobius.projects.models import Project
from mobius.projects.roles import Permission
from mobius.web.access import ProjectRequest, project_page
from mobius.web.forms import explain
from mobius.web.lists import rows

_VERSIONS_SHOWN = 20


@require_GET
@project_page(Permission.READ)
def loop_list(request: ProjectRequest, project: Project) -> HttpResponse:
    loops = Loop.objects.present().of_project(project).for_lists()
    if status := chosen(request, "status", LoopStatus):
        loops = loops.in_status(status)
    return render(
        request,
        "loops/loops.html",
        {
            "page": rows(request, loops),
            "status": status,
            "statuses": [choice for choice in LoopStatus.choices if choice[0] != LoopStatus.DELETED],
            "may_edit": request.access.allows(Permission.ADMINISTER),
        },
    )


@require_http_methods(["GET", "POST"])
@project_page(Permission.ADMINISTER)
def loop_new(request: ProjectRequest, project: Project) -> HttpResponse:
    form = LoopForm(request.POST or None, initial={"spec": editable(STARTER_LOOP)})
    if request.method == "POST" and form.is_valid():
        try:
            loop = authoring.create_loop(project=project, authored=form.cleaned_data["spec"], by=request.actor)
        except MobiusError as error:
            form.refuse(error)
        else:
            messages.success(request, f"The loop “{loop.name}” is there.")
            return redirect("console:loop", project.handle, loop.pk)
    return render(request, "loops/loop_new.html", {"form": form}, status=422 if form.errors else 200)


@require_GET
@project_page(Permission.READ)
def loop_page(request: ProjectRequest, project: Project, loop_id: str) -> HttpResponse:
    return _draw(request, find_loop(project, loop_id))


@require_http_methods(["GET", "POST"])
@project_page(Permission.START)
def loop_start(request: ProjectRequest, project: Project, loop_id: str) -> HttpResponse:
    """Start a run. (A reload of the page with the mistakes is a GET.)"""
    loop = find_loop(project, loop_id)
    if request.method == "GET":
        return redirect("console:loop", project.handle, loop.pk)
    form = StartForm(request.POST)
    if form.is_valid():
        try:
            started = start_run(loop=loop, start=_start(request, form), by=request.actor)
        except IdempotencyKeyConflict as error:
            explain(form, error, names={"": "idempotency_key"})
        except MobiusError as error:
            explain(form, error, inside="event")
        else:
            if not started.created:
                messages.info(request, "This run has the idempotency key already, so nothing was started.")
            return redirect("console:run", project.handle, started.run.pk)
    return _draw(request, loop, start=form)


@require_POST
@project_page(Permission.ADMINISTER)
def loop_status(request: ProjectRequest, project: Project, loop_id: str) -> HttpResponse:
    """Pause the loop, or make it active again."""
    loop = find_loop(project, loop_id)
    try:
        authoring.update_loop(loop, {"status": request.POST.get("status", "")}, by=request.actor)
    except MobiusError as error:
        messages.error(request, error.message)
    else:
        paused = loop.status == LoopStatus.PAUSED
        messages.success(request, "Paused: starts are refused." if paused else "Active: runs can be started.")
    return redirect("console:loop", project.handle, loop.pk)


@require_http_methods(["GET", "POST"])
@project_page(Permission.ADMINISTER)
def loop_delete(request: ProjectRequest, project: Project, loop_id: str) -> HttpResponse:
    loop = find_loop(project, loop_id)
    if request.method == "POST":
        authoring.delete_loop(loop, by=request.actor)
        messages.success(request, f"The loop “{loop.name}” is deleted. Its runs stay readable.")
        return redirect("console:loops", project.handle)
    active = Run.objects.of_project(project).of_loop(loop.pk).active().exists()
    return render(request, "loops/loop_delete.html", {"loop": loop, "has_active_runs": active})


def _start(request: ProjectRequest, form: StartForm) -> Start:
    user = request.user
    source = {"type": "manual", "id": user.get_username(), "label": user.get_full_name() or user.get_username()}
    return Start(
        event=form.cleaned_data["event"],
        meta={},
        config={},
        source=source,
        idempotency_key=form.cleaned_data["idempotency_key"],
    )


def _event_of(loop: Loop, run_id: str) -> JsonObject | None:
    """What this run of the loop was given: to start another one with it."""
    run = Run.objects.of_loop(loop.pk).filter(pk=run_id, purged_at=None).first() if run_id else None
    event: JsonObject | None = run.event if run else None
    return event


def _draw(request: ProjectRequest, loop: Loop, *, start: StartForm | None = None) -> HttpResponse:
    version = loop.current_version
    last_run = Run.objects.of_loop(loop.pk).order_by("-id").first()
    event = _event_of(loop, request.GET.get("run", ""))
    if event is None:
        event = example_event(spec_of(version.pk), last_run) if version else {}
    versions = LoopVersion.objects.of_loop(loop)
    may_start = request.access.allows(Permission.START)
    start = start or StartForm(initial={"event": editable(event)})
    context: dict[str, Any] = {
        "loop": loop,
        "version": version,
        "json_title": f"Version {version.number}" if version else "",
        "spec": shown(version.spec if may_start else without_handles(version.spec)) if version else None,
        "triggers": shown_triggers(loop, spec_of(version.pk) if version else None, with_addresses=may_start),
        "versions": versions.newest_first()[:_VERSIONS_SHOWN],
        "last_run": last_run,
        "start": start,
        "curl": start_curl(loop, event),
        "callers": callers() if version else [],
        "may_edit": request.access.allows(Permission.ADMINISTER),
        "may_start": may_start,
    }
    return render(request, "loops/loop.html", context, status=422 if start.errors else 200)
