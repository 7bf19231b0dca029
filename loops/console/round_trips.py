"""Testing an integration there and back: the row goes out, and its page looks whether the far side calls back."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from integrations.console.finding import find_integration, find_provider, posted
from integrations.console.forms import RowForm
from integrations.console.showing import Outcome, outcome_of_test
from integrations.console.views import integration_page
from integrations.models import Integration
from integrations.reaching_us import why_unreachable
from loops import round_trips
from loops.console.parts import Part
from loops.console.runs import STOP_POLLING
from loops.console.showing import PURGED, duration, shown
from loops.console.watching import is_watched, opened_now
from loops.models import Callback
from loops.placeholders import unfilled
from loops.recipes import answer_recipe
from mobius.errors import MobiusError
from mobius.projects.models import Project
from mobius.projects.roles import Permission
from mobius.web.access import ProjectRequest, project_page
from mobius.web.forms import explain


@project_page(Permission.OPERATE)
@require_POST
def send_there_and_back(request: ProjectRequest, project: Project, integration_id: str) -> HttpResponse:
    found = find_integration(project, integration_id)
    form = RowForm(find_provider(found.provider), posted(request))
    if form.is_valid():
        try:
            sent = round_trips.send_there_and_back(found, form.cleaned_data["row"], by=request.actor)
            return redirect("console:round_trip", project.handle, found.pk, sent.attempt.pk)
        except MobiusError as error:
            explain(form, error)
    return integration_page(request, found, form)


@require_GET
@never_cache
@project_page(Permission.READ)
def round_trip(request: ProjectRequest, project: Project, integration_id: str, test_id: str) -> HttpResponse:
    """The integration's page with what came of one such test, and what has come back."""
    found, outcome = _found(project, integration_id, test_id)
    answer = round_trips.answer_to(outcome.probe.attempt)
    live = "" if answer or outcome.row_is_missing else _live_address(found, test_id)
    parts = {part.name: part for part in _parts(found, outcome, answer, over=False)}
    form = RowForm(find_provider(found.provider))
    return integration_page(request, found, form, outcome=outcome, way_back=parts, live=live, answered=bool(answer))


@require_GET
@never_cache
@project_page(Permission.READ)
def round_trip_live(request: ProjectRequest, project: Project, integration_id: str, test_id: str) -> HttpResponse:
    """What has come back, where it differs from what the page shows; it is looked for half an hour at most."""
    found, outcome = _found(project, integration_id, test_id)
    answer = round_trips.answer_to(outcome.probe.attempt)
    over = not is_watched(request)
    seen = set(request.GET.getlist("seen"))
    news = [part for part in _parts(found, outcome, answer, over=over) if part.seen not in seen]
    status = STOP_POLLING if over or answer else 200
    if not news:
        return HttpResponse(status=204 if status == 200 else status)
    context = {"integration": found, "parts": news, "answer": answer, "provider": find_provider(found.provider)}
    return render(request, "loops/round_trip_live.html", context, status=status)


def _found(project: Project, integration_id: str, test_id: str) -> tuple[Integration, Outcome]:
    integration = find_integration(project, integration_id)
    outcome = outcome_of_test(integration, test_id)
    if outcome is None or not outcome.probe.attempt.asks_to_be_called_back:
        raise Http404("There is no such test.")
    return integration, outcome


def _live_address(integration: Integration, test_id: str) -> str:
    address = reverse("console:round_trip_live", args=[integration.project.handle, integration.pk, test_id])
    return f"{address}?{opened_now()}"


def _parts(integration: Integration, outcome: Outcome, answer: Callback | None, *, over: bool) -> list[Part]:
    test, provider = outcome.probe.attempt, find_provider(integration.provider)
    context: dict[str, Any] = {
        "handle": integration.project.handle,
        "integration": integration,
        "provider": provider,
        "book": provider.recipes,
        "outcome": outcome,
        "test": test,
        "answer": answer,
        "over": over,
    }
    if answer is not None:
        context |= {
            "took": duration(test.created_at, answer.received_at),
            "body": PURGED if answer.purged_at else shown(answer.body),
            "unfilled": unfilled(answer.body),
        }
    elif not outcome.row_is_missing:
        context |= {"steps": answer_recipe(provider), "unreachable": why_unreachable(provider.name)}
    return [_part("stages", context), _part("answer", context)]


def _part(name: str, context: dict[str, Any]) -> Part:
    return Part(name=name, content=render_to_string(f"loops/parts/round_trip_{name}.html", context))
