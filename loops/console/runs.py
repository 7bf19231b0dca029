"""The pages of runs: the list, and one run as it goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from loops.console.filtering import Names, as_asked, counted, integrations_of, news, selection_of
from loops.console.lists import newest_of
from loops.console.next_step import next_step
from loops.console.parts import Part, parts_of
from loops.console.showing import PURGED, duration, shown
from loops.models import BulkJob, Loop, LoopStatus, Run, RunQuerySet, RunStatus, Step
from loops.selecting import runs_in_status, runs_selected
from mobius.projects.models import Project
from mobius.projects.roles import Permission
from mobius.web.access import ProjectRequest, project_page
from mobius.web.lists import rows

_LOOPS_TO_CHOOSE_FROM = 100
_LONGEST_REASON = 160  # characters, in a list
WARNINGS_SHOWN = CHILDREN_SHOWN = 20
STOP_POLLING = 286
"""The status by which htmx stops asking again."""


@dataclass(frozen=True, kw_only=True)
class ListedRun:
    run: Run
    reason: str  # why it waits: a state that look_of knows, or ""
    message: str
    duration: str


NAMES = Names(state="status", states=RunStatus, of="loop", of_word="Loop", through="integration")


@require_GET
@project_page(Permission.READ)
def run_list(request: ProjectRequest, project: Project) -> HttpResponse:
    selection = selection_of(request, NAMES)
    found = runs_selected(project, replace(selection, state=""))
    by_status = {status: runs_in_status(found, selection, status) for status in RunStatus.values}
    counts = counted(by_status)
    page = rows(request, by_status.get(selection.state, found).for_lists())
    loops = _loops(project, selection.of)
    integrations = integrations_of(project)
    context = as_asked(request, page, selection, NAMES, counts=counts, named=dict(loops + integrations)) | {
        "runs": listed(page.items),
        "loops": loops,
        "integrations": integrations,
        "active": selection.state in RunStatus.active(),
        "may_operate": request.access.allows(Permission.OPERATE),
        "running": None if selection.text else BulkJob.objects.of_project(project).running().first(),
        "newest": newest_of(request, page, "run"),
    }
    if not page.items and not context["filtered"]:
        context |= next_step(request, project)
    return render(request, "loops/runs.html", context, status=context["status"])


@require_GET
@never_cache
@project_page(Permission.READ)
def run_news(request: ProjectRequest, project: Project) -> HttpResponse:
    """How many runs have come since the list was drawn."""
    return news(request, runs_selected(project, selection_of(request, NAMES)))


@require_GET
@project_page(Permission.READ)
def run_page(request: ProjectRequest, project: Project, run_id: str) -> HttpResponse:
    run = find_run(project, run_id)
    parts = _parts_for(request, run)
    return render(
        request,
        "loops/run.html",
        {
            "run": run,
            "part": {part.name: part for part in parts},
            "steps": [part for part in parts if part.name.startswith("step-")],
            "event": PURGED if run.purged_at else shown(run.event),
            "config": shown(run.config) if run.config else None,
            "starter": run.source.get("label") or run.source.get("id") or "a client of the API",
            **_children(run),
            "warnings": run.warnings[:WARNINGS_SHOWN],
            "active": not run.has_ended,
        },
    )


def _children(run: Run) -> dict[str, Any]:
    """The runs that this one started, as many as a page has room for."""
    found = list(Run.objects.children_of(run.pk).select_related("loop")[: CHILDREN_SHOWN + 1])
    return {"children": found[:CHILDREN_SHOWN], "more_children": len(found) > CHILDREN_SHOWN}


@require_GET
@never_cache
@project_page(Permission.READ)
def run_live(request: ProjectRequest, project: Project, run_id: str) -> HttpResponse:
    """The parts of the page that differ from those that it has, named by `seen`; nothing when none does."""
    run = find_run(project, run_id)
    seen = set(request.GET.getlist("seen"))
    news = [part for part in _parts_for(request, run) if part.seen not in seen]
    status = STOP_POLLING if run.has_ended else 200
    if not news:
        return HttpResponse(status=204 if status == 200 else status)
    # Only a change of the run's own status is read out.
    says = f"The run is {run.get_status_display().lower()}." if any(part.name == "badge" for part in news) else ""
    return render(request, "loops/run_live.html", {"run": run, "parts": news, "says": says}, status=status)


def _parts_for(request: ProjectRequest, run: Run) -> list[Part]:
    return parts_of(run, request.access.project.handle, may_operate=request.access.allows(Permission.OPERATE))


def listed(runs: list[Run]) -> list[ListedRun]:
    """The runs with why each waits or has failed; one query for all of them."""
    suspended = [run.pk for run in runs if run.status == RunStatus.SUSPENDED]
    waiting = {step.run_id: step for step in Step.objects.waiting_in(suspended)} if suspended else {}
    return [_listed(run, waiting) for run in runs]


def _listed(run: Run, waiting: Mapping[str, Step]) -> ListedRun:
    step = waiting.get(run.pk)
    message = step.error_message if step else run.error_message
    if len(message) > _LONGEST_REASON:
        message = message[: _LONGEST_REASON - 1] + "…"
    return ListedRun(
        run=run,
        reason=step.error_type if step else "",
        message=message or (_resting(step) if step else ""),
        duration=duration(run.started_at, run.completed_at),
    )


def _resting(step: Step) -> str:
    return "Sleeps." if step.kind == "sleep" else "Waits for a callback or an event."


def _loops(project: Project, chosen_id: str) -> list[tuple[str, str]]:
    """What the filter offers, ids and words: the newest loops, and the one that is chosen already."""
    loops = Loop.objects.of_project(project).only("pk", "name", "status")
    newest = list(loops.present().order_by("-pk")[:_LOOPS_TO_CHOOSE_FROM])
    if chosen_id and chosen_id not in {loop.pk for loop in newest}:
        newest += loops.filter(pk=chosen_id)
    newest.sort(key=lambda loop: loop.name.casefold())
    return [(loop.pk, f"{loop.name} (deleted)" if loop.status == LoopStatus.DELETED else loop.name) for loop in newest]


def find_run(project: Project, run_id: str) -> Run:
    runs: RunQuerySet = Run.objects.of_project(project).select_related("loop", "loop_version", "project")
    run = runs.defer("loop_version__spec").filter(pk=run_id).first()
    if run is None:
        raise Http404("There is no such run.")
    return run
