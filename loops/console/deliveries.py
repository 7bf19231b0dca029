"""The pages of what went out and of what came back: deliveries and callbacks."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from integrations.models import Attempt, AttemptState
from loops.console.attempts import shown_attempt
from loops.console.lists import chosen, rows, searched
from loops.console.showing import shown
from loops.models import Callback, CallbackState
from mobius.projects.models import Project
from mobius.projects.roles import Permission
from mobius.web.access import ProjectRequest, project_page

_FOUND_AT_MOST = 1_000


@require_GET
@project_page(Permission.READ)
def delivery_list(request: ProjectRequest, project: Project) -> HttpResponse:
    of_project = Attempt.objects.of_project(project)
    attempts = of_project.without_bodies().with_destination()
    state, text = chosen(request, "state", AttemptState), searched(request)
    if state:
        attempts = attempts.in_state(state)
    if text:
        # One look-up for each index; OR would have the database read them all.
        found = [of_project.sent_under(text), of_project.sent_for(text), of_project.of_run(text)]
        ids = [pk for one in found for pk in one.order_by("-pk").values_list("pk", flat=True)[:_FOUND_AT_MOST]]
        attempts = attempts.filter(pk__in=[text, *ids])
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
    attempt = Attempt.objects.of_project(project).with_destination().filter(pk=delivery_id).first()
    if attempt is None:
        raise Http404("There is no such delivery.")
    context = {"handle": project.handle, "may_operate": request.access.allows(Permission.OPERATE)}
    return render(request, "loops/delivery.html", context | {"one": shown_attempt(attempt), "attempt": attempt})


@require_GET
@project_page(Permission.READ)
def callback_list(request: ProjectRequest, project: Project) -> HttpResponse:
    callbacks = Callback.objects.of_project(project).without_bodies()
    state, text = chosen(request, "state", CallbackState), searched(request)
    if state:
        callbacks = callbacks.in_state(state)
    if text:
        of_project = Callback.objects.of_project(project)
        found = [of_project.known_as(text), of_project.of_run(text)]
        ids = [pk for one in found for pk in one.order_by("-pk").values_list("pk", flat=True)[:_FOUND_AT_MOST]]
        callbacks = callbacks.filter(pk__in=[text, *ids])
    return render(
        request,
        "loops/callbacks.html",
        {
            "page": rows(request, callbacks),
            "state": state,
            "states": CallbackState.choices,
            "q": text,
            "filtered": bool(state or text),
        },
    )


@require_GET
@project_page(Permission.READ)
def callback_page(request: ProjectRequest, project: Project, callback_id: str) -> HttpResponse:
    callback = Callback.objects.of_project(project).filter(pk=callback_id).first()
    if callback is None:
        raise Http404("There is no such callback.")
    return render(
        request,
        "loops/callback.html",
        {"callback": callback, "body": shown(callback.body), "sentence": _SENTENCES[CallbackState(callback.state)]},
    )


_SENTENCES = {
    CallbackState.KEPT: "It came before a step waits for it, and is kept until one does.",
    CallbackState.USED: "It is the result of the step that waited for it.",
    CallbackState.UNMATCHED: "It did not satisfy what the waiting step asks for, so the step goes on waiting.",
    CallbackState.UPDATE: "It came after another one had been used. It is kept; the run's result is unchanged.",
    CallbackState.LATE: "It came after the run had ended. It is kept and changes nothing.",
    CallbackState.AMBIGUOUS: "Several rows were sent under its request_id, so nobody knows which one it answers, "
    "and no run goes on. Give each row its own request_id, such as ${{ meta.run_id }}.",
}
