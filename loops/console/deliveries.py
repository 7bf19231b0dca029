"""The pages of what went out: deliveries."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from integrations.models import Attempt, AttemptState
from loops.console.attempts import shown_attempt
from loops.console.lists import chosen, found_ids, searched
from mobius.projects.models import Project
from mobius.projects.roles import Permission
from mobius.web.access import ProjectRequest, project_page
from mobius.web.lists import rows


@require_GET
@project_page(Permission.READ)
def delivery_list(request: ProjectRequest, project: Project) -> HttpResponse:
    of_project = Attempt.objects.of_project(project)
    attempts = of_project.without_bodies().with_destination()
    state, text = chosen(request, "state", AttemptState), searched(request)
    if state:
        attempts = attempts.in_state(state)
    if text:
        look_ups = (of_project.sent_under(text), of_project.sent_for(text), of_project.of_run(text))
        attempts = attempts.filter(pk__in=[text, *found_ids(*look_ups)])
    return render(
        request,
        "loops/deliveries.html",
        {
            "page": rows(request, attempts),
            "state": state,
            "states": AttemptState.choices,
            "q": text,
            "filtered": bool(state or text),
        },
    )


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
