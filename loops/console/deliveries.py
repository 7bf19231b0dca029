"""The pages of what went out: deliveries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from integrations.console.finding import find_integration
from integrations.console.tabs import Tab, on_tab
from integrations.models import Attempt, AttemptKind, AttemptState
from loops.console.attempts import shown_attempt
from loops.console.filtering import Names, as_asked, counted, integrations_of, news, selection_of
from loops.console.lists import newest_of
from loops.console.next_step import next_step
from loops.console.sending_again import again
from loops.models import BulkJob, Callback, Run
from loops.selecting import Selection, deliveries_selected
from mobius.projects.audit_models import AuditEvent
from mobius.projects.models import Project
from mobius.projects.roles import Permission
from mobius.web.access import ProjectRequest, project_page
from mobius.web.lists import rows

ATTEMPTS_SHOWN = CALLBACKS_SHOWN = AUDIT_SHOWN = 20
"""The latest of each, on the page of one delivery."""

NAMES = Names(state="state", states=AttemptState, of="integration", of_word="Integration")
NAMES_OF_ONE = Names(state="state", states=AttemptState)


@require_GET
@project_page(Permission.READ)
def delivery_list(request: ProjectRequest, project: Project) -> HttpResponse:
    integrations = integrations_of(project)
    selection = selection_of(request, NAMES)
    context = deliveries_found(request, project, selection, NAMES, named=dict(integrations))
    context |= {
        "integrations": integrations,
        "may_operate": request.access.allows(Permission.OPERATE),
        "running": None if selection.text else BulkJob.objects.of_project(project).running().first(),
        "newest": newest_of(request, context["page"], "att"),
    }
    if not context["page"].items and not context["filtered"]:
        context |= next_step(request, project)
    return render(request, "loops/deliveries.html", context, status=context["status"])


@require_GET
@project_page(Permission.READ)
def integration_deliveries(request: ProjectRequest, project: Project, integration_id: str) -> HttpResponse:
    """What went out through one integration."""
    integration = find_integration(project, integration_id)
    selection = replace(selection_of(request, NAMES_OF_ONE), of=integration.pk)
    found = deliveries_found(request, project, selection, NAMES_OF_ONE)
    context = on_tab(Tab.DELIVERIES, request, integration) | found
    return render(request, "loops/integration_deliveries.html", context, status=found["status"])


@require_GET
@never_cache
@project_page(Permission.READ)
def delivery_news(request: ProjectRequest, project: Project) -> HttpResponse:
    """How many rows have gone out since the list was drawn."""
    return news(request, deliveries_selected(project, selection_of(request, NAMES)))


def deliveries_found(
    request: ProjectRequest,
    project: Project,
    selection: Selection,
    names: Names,
    *,
    named: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The page that the address asks for, and what it asks for. `named`: the integrations to choose from, by id."""
    found = deliveries_selected(project, replace(selection, state=""))
    by_state = {state: found.in_state(state) for state in AttemptState.values}
    counts = counted(by_state)
    page = rows(request, by_state.get(selection.state, found).without_bodies().with_destination())
    return as_asked(request, page, selection, names, counts=counts, named=named or {})


@require_GET
@project_page(Permission.READ)
def delivery_page(request: ProjectRequest, project: Project, delivery_id: str) -> HttpResponse:
    attempt = find_delivery(project, delivery_id)
    of_run = Run.objects.of_project(project).select_related("loop")
    run = of_run.filter(pk=attempt.run_id).first() if attempt.run_id else None
    siblings = Attempt.objects.of_step(attempt.run_id, attempt.step_id).without_bodies().reverse()
    attempts = list(siblings[:ATTEMPTS_SHOWN])[::-1] if attempt.step_id else [attempt]
    callbacks = Callback.objects.to_attempt(attempt).without_bodies().order_by("-id")
    context = {
        "handle": project.handle,
        "may_operate": request.access.allows(Permission.OPERATE),
        "one": shown_attempt(attempt),
        "attempt": attempt,
        "loop_id": run.loop_id if run else "",
        "attempts": attempts,
        "again": again(attempt, run, is_latest=attempts[-1].pk == attempt.pk),
        "callbacks": callbacks[:CALLBACKS_SHOWN],
        "result_url": _result_url(project, attempt) if attempt.kind == AttemptKind.TEST else "",
        "audited": AuditEvent.objects.of_project(project).of_object(attempt.pk).order_by("-id")[:AUDIT_SHOWN],
    }
    return render(request, "loops/delivery.html", context)


def _result_url(project: Project, test: Attempt) -> str:
    """The page that says how far the test got; "" when its integration is disconnected."""
    if test.integration_id is None:
        return ""
    if test.asks_to_be_called_back:
        return reverse("console:round_trip", args=[project.handle, test.integration_id, test.pk])
    return f"{reverse('console:integration', args=[project.handle, test.integration_id])}?test={test.pk}"


def find_delivery(project: Project, delivery_id: str) -> Attempt:
    attempt = Attempt.objects.of_project(project).with_destination().filter(pk=delivery_id).first()
    if attempt is None:
        raise Http404("There is no such delivery.")
    return attempt
