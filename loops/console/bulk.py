"""One deed for everything that a list's filters find: a page that says what will happen, and one that shows it go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.db.models import Count
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from integrations.models import Attempt, Integration
from loops import bulk
from loops.console.bulk_deeds import CANCEL, RETRY, SETTLE, Deed
from loops.console.filtering import address_of, selection_of, trouble_with
from loops.console.forms import BulkForm, BulkSettleForm
from loops.console.queue import ShownQueue, rows_in_words
from loops.console.runs import STOP_POLLING
from loops.models import BulkDeed, BulkJob, BulkState
from loops.queue import sending
from loops.selecting import Selection
from mobius import clock
from mobius.errors import MobiusError
from mobius.projects.models import Project
from mobius.projects.roles import Permission
from mobius.web.access import ProjectRequest, project_page
from mobius.web.forms import explain, posted
from mobius.web.lists import rows

_LOOKED_INTO = 1_000
"""So many of what is found, the newest, are asked which integrations they go through."""


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@project_page(Permission.OPERATE)
def runs_retry(request: ProjectRequest, project: Project) -> HttpResponse:
    return _ask(request, project, RETRY, BulkDeed.RETRY)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@project_page(Permission.OPERATE)
def runs_cancel(request: ProjectRequest, project: Project) -> HttpResponse:
    return _ask(request, project, CANCEL, BulkDeed.CANCEL)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@project_page(Permission.OPERATE)
def deliveries_settle(request: ProjectRequest, project: Project) -> HttpResponse:
    return _ask(request, project, SETTLE, BulkDeed.ARRIVED)


def _ask(request: ProjectRequest, project: Project, deed: Deed, does: BulkDeed) -> HttpResponse:
    """`does`: what the page is about; which of the three ways to settle, its form says."""
    if trouble := trouble_with(request, deed.names):
        raise BadRequest(trouble)  # a filter that is left out would find more than was meant
    selection = selection_of(request, deed.names)
    if "pick" in request.GET and not selection.ids:  # what is left out would find all of them
        messages.info(request, f"Nothing was ticked. Tick those to {deed.verb.lower()} first.")
        return redirect(reverse(f"console:{deed.back}", args=[project.handle]) + address_of(selection, deed.names))
    form_class = BulkForm if does.is_about_runs else BulkSettleForm
    form = form_class(posted(request), initial={"asked_at": clock.now().isoformat()})
    if form.is_valid():
        chosen = BulkDeed(form.cleaned_data.get("decision", does))
        answer = {"asked_at": form.cleaned_data["asked_at"], "reason": form.cleaned_data["reason"]}
        try:
            job = bulk.start(project, chosen, selection, **answer, by=request.actor)
        except MobiusError as error:
            explain(form, error)
        else:
            return redirect("console:bulk_job", project.handle, job.pk)
    context = _question(project, deed, does, selection) | {"form": form, "deed": deed}
    return render(request, "loops/bulk_ask.html", context, status=422 if form.errors else 200)


def _question(project: Project, deed: Deed, does: BulkDeed, selection: Selection) -> dict[str, Any]:
    found = bulk.found_by(project, does, selection, asked_at=clock.now())
    number = found.order_by().count()
    ids = found.order_by("-pk").values_list("pk" if does.is_about_runs else "run_id", flat=True)[:_LOOKED_INTO]
    return {
        "heading": deed.heading.format(number=in_words(number, does)),
        "number": number,
        "happens": deed.sentences,
        "effects": _effects(project, list(ids), number, deed.sends) if deed.sends and number else (),
        "back": reverse(f"console:{deed.back}", args=[project.handle]) + address_of(selection, deed.names),
        "running": BulkJob.objects.of_project(project).running().first(),
    }


def _effects(project: Project, run_ids: Sequence[str], number: int, start: str) -> list[str]:
    """What sending the rows of these runs takes of each integration's budget, and how long, at its pace.

    `start`: how each of the sentences begins.
    """
    through = Attempt.objects.filter(run_id__in=run_ids, integration__isnull=False).order_by()
    shares = dict(through.values_list("integration").annotate(Count("run_id", distinct=True)))
    integrations = Integration.objects.filter(project=project).select_related("pacer")
    if shares:
        integrations = integrations.filter(pk__in=list(shares))
    found = list(integrations.order_by("name"))
    one_only = len(found) == 1
    effects = []
    for integration in found:
        if to_send := number if one_only else shares.get(integration.pk, 0):
            shown = ShownQueue(queue=sending(to_send, integration), integration=integration)
            most = rows_in_words(to_send)
            effects.append(f"{start} {integration.name}, at most {most}. {shown.budget} {shown.duration}")
    if number > len(run_ids) and not one_only:
        effects.append(f"These figures are of the newest {len(run_ids):,} alone.")
    return effects


def in_words(number: int, does: BulkDeed) -> str:
    noun = "run" if does.is_about_runs else "row"
    return {0: f"no {noun}", 1: f"1 {noun}"}.get(number, f"{number:,} {noun}s")


@dataclass(frozen=True, kw_only=True)
class ShownJob:
    job: BulkJob

    @property
    def percent(self) -> int:
        if self.job.state == BulkState.COMPLETED:
            return 100
        return min(100 * self.job.looked_at // max(self.job.total, 1), 99)

    @property
    def figures(self) -> tuple[tuple[str, str], ...]:
        job = self.job
        left = max(job.total - job.looked_at, 0) if job.is_running else 0
        figures = [("Done", job.done), ("Left alone", job.left_alone)] + ([("To go", left)] if job.is_running else [])
        return tuple((label, f"{figure:,}") for label, figure in figures)

    @property
    def kind(self) -> str:
        """Which pages the ids of its trouble belong to."""
        return "run" if BulkDeed(self.job.deed).is_about_runs else "delivery"


@require_GET
@never_cache
@project_page(Permission.READ)
def bulk_jobs(request: ProjectRequest, project: Project) -> HttpResponse:
    return render(request, "loops/bulk_jobs.html", {"page": rows(request, BulkJob.objects.of_project(project))})


@require_GET
@never_cache
@project_page(Permission.READ)
def bulk_job(request: ProjectRequest, project: Project, job_id: str) -> HttpResponse:
    job = _find(project, job_id)
    about = RETRY if BulkDeed(job.deed).is_about_runs else SETTLE
    selected = Selection(**job.selection)
    context = {
        "job": job,
        "shown": ShownJob(job=job),
        "back": reverse(f"console:{about.back}", args=[project.handle]) + address_of(selected, about.names),
        "back_name": about.list_name,
        "may_operate": request.access.allows(Permission.OPERATE),
    }
    return render(request, "loops/bulk_job.html", context)


@require_GET
@never_cache
@project_page(Permission.READ)
def bulk_job_live(request: ProjectRequest, project: Project, job_id: str) -> HttpResponse:
    """How far it is; once it has ended, the page is drawn anew."""
    job = _find(project, job_id)
    if not job.is_running:
        return HttpResponse(status=STOP_POLLING, headers={"HX-Refresh": "true"})
    return render(request, "loops/bulk_progress.html", {"shown": ShownJob(job=job)})


@require_POST
@project_page(Permission.OPERATE)
def bulk_job_cancel(request: ProjectRequest, project: Project, job_id: str) -> HttpResponse:
    job = bulk.cancel(_find(project, job_id), by=request.actor)
    return redirect("console:bulk_job", project.handle, job.pk)


def _find(project: Project, job_id: str) -> BulkJob:
    job = BulkJob.objects.of_project(project).filter(pk=job_id).first()
    if job is None:
        raise Http404("There is no such bulk job.")
    return job
