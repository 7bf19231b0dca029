"""The pages of what went out: deliveries."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from integrations.console.finding import find_integration
from integrations.console.tabs import Tab, on_tab
from integrations.models import Attempt, AttemptQuerySet, AttemptState
from loops.console.attempts import shown_attempt
from loops.console.lists import chosen, found_ids, searched
from mobius.projects.models import Project
from mobius.projects.roles import Permission
from mobius.web.access import ProjectRequest, project_page
from mobius.web.lists import rows


@require_GET
@project_page(Permission.READ)
def delivery_list(request: ProjectRequest, project: Project) -> HttpResponse:
    return render(request, "loops/deliveries.html", deliveries_found(request, Attempt.objects.of_project(project)))


@require_GET
@project_page(Permission.READ)
def integration_deliveries(request: ProjectRequest, project: Project, integration_id: str) -> HttpResponse:
    """What went out through one integration."""
    integration = find_integration(project, integration_id)
    found = deliveries_found(request, Attempt.objects.of_project(project).through(integration))
    return render(request, "loops/integration_deliveries.html", on_tab(Tab.DELIVERIES, request, integration) | found)


def deliveries_found(request: ProjectRequest, among: AttemptQuerySet) -> dict[str, Any]:
    """The page that the address asks for, and what it asks for."""
    attempts = among.without_bodies().with_destination()
    state, text = chosen(request, "state", AttemptState), searched(request)
    if state:
        attempts = attempts.in_state(state)
    if text:
        look_ups = (among.sent_under(text), among.sent_for(text), among.of_run(text))
        attempts = attempts.filter(pk__in=[text, *found_ids(*look_ups)])
    return {
        "page": rows(request, attempts),
        "state": state,
        "states": AttemptState.choices,
        "q": text,
        "filtered": bool(state or text),
    }


@require_GET
@project_page(Permission.READ)
def delivery_page(request: ProjectRequest, project: Project, delivery_id: str) -> HttpResponse:
    attempt = find_delivery(project, delivery_id)
    context = {"handle": project.handle, "may_operate": request.access.allows(Permission.OPERATE)}
    return render(request, "loops/delivery.html", context | {"one": shown_attempt(attempt), "attempt": attempt})


def find_delivery(project: Project, delivery_id: str) -> Attempt:
    attempt = Attempt.objects.of_project(project).with_destination().filter(pk=delivery_id).first()
    if attempt is None:
        raise Http404("There is no such delivery.")
    return attempt
