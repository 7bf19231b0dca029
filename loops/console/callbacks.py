"""The pages of what came back: callbacks, those that nobody can place, and those that are overdue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from integrations.console.finding import find_integration
from integrations.console.tabs import Tab, on_tab
from loops import callbacks
from loops.awaiting import Overdue, overdue_in
from loops.console.filtering import Names, as_asked, integrations_of, selection_of
from loops.console.showing import PURGED, shown
from loops.models import Callback, CallbackState
from loops.selecting import Selection, callbacks_selected
from mobius import clock
from mobius.errors import MobiusError
from mobius.projects.models import Project
from mobius.projects.roles import Permission
from mobius.timespans import measured, rough
from mobius.web.access import ProjectRequest, project_page
from mobius.web.lists import rows

NAMES = Names(state="state", states=CallbackState, of="integration", of_word="Integration")
NAMES_OF_ONE = Names(state="state", states=CallbackState)


@require_GET
@project_page(Permission.READ)
def callback_list(request: ProjectRequest, project: Project) -> HttpResponse:
    integrations = integrations_of(project)
    selection = selection_of(request, NAMES)
    context = callbacks_found(request, project, selection, NAMES, named=dict(integrations)) | {
        "integrations": integrations,
        "some_overdue": bool(overdue_in(project, now=clock.now(), most=1).items),
    }
    return render(request, "loops/callbacks.html", context, status=context["status"])


@require_GET
@project_page(Permission.READ)
def integration_callbacks(request: ProjectRequest, project: Project, integration_id: str) -> HttpResponse:
    """What came back for the rows of one integration."""
    integration = find_integration(project, integration_id)
    selection = replace(selection_of(request, NAMES_OF_ONE), of=integration.pk)
    found = callbacks_found(request, project, selection, NAMES_OF_ONE)
    context = on_tab(Tab.CALLBACKS, request, integration) | found
    return render(request, "loops/integration_callbacks.html", context, status=found["status"])


def callbacks_found(
    request: ProjectRequest,
    project: Project,
    selection: Selection,
    names: Names,
    *,
    named: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The page that the address asks for, and what it asks for. `named`: the integrations to choose from, by id."""
    page = rows(request, callbacks_selected(project, selection).without_bodies())
    return as_asked(request, page, selection, names, counts=None, named=named or {})


@require_GET
@project_page(Permission.READ)
def overdue_list(request: ProjectRequest, project: Project) -> HttpResponse:
    """Runs that wait for a callback that should have come."""
    found = overdue_in(project, now=clock.now())
    return render(
        request,
        "loops/callbacks_overdue.html",
        {
            "overdue": [_listed(one) for one in found.items],
            "has_more": found.has_more,
            "may_operate": request.access.allows(Permission.OPERATE),
        },
    )


@require_GET
@project_page(Permission.READ)
def callback_page(request: ProjectRequest, project: Project, callback_id: str) -> HttpResponse:
    return _shown(request, _callback(project, callback_id))


@require_POST
@project_page(Permission.OPERATE)
def callback_assign(request: ProjectRequest, project: Project, callback_id: str) -> HttpResponse:
    """A person says which row an ambiguous callback answers."""
    callback = _callback(project, callback_id)
    try:
        callbacks.assign(callback, step_id=request.POST.get("step_id", ""), by=request.actor)
    except MobiusError as error:
        # As it is now: somebody else may have said already which row it answers.
        return _shown(request, _callback(project, callback_id), trouble=error.message, status=error.http_status)
    messages.success(request, "The callback is given to the row, and its run goes on if it waits for it.")
    return redirect("console:callback", project.handle, callback.pk)


def _callback(project: Project, callback_id: str) -> Callback:
    callback = Callback.objects.of_project(project).filter(pk=callback_id).first()
    if callback is None:
        raise Http404("There is no such callback.")
    return callback


def _shown(request: ProjectRequest, callback: Callback, *, trouble: str = "", status: int = 200) -> HttpResponse:
    ambiguous = callback.state == CallbackState.AMBIGUOUS
    return render(
        request,
        "loops/callback.html",
        {
            "callback": callback,
            "body": PURGED if callback.purged_at else shown(callback.body),
            "sentence": sentence_of(callback),
            "candidates": callbacks.candidates_for(callback) if ambiguous else [],
            "may_assign": request.access.allows(Permission.OPERATE),
            "trouble": trouble,
        },
        status=status,
    )


@dataclass(frozen=True, kw_only=True)
class ListedWait:
    """An overdue callback in words."""

    overdue: Overdue
    age: str
    expected: str


def _listed(overdue: Overdue) -> ListedWait:
    wait = overdue.wait
    within = rough(overdue.expected_at - wait.created_at)
    return ListedWait(
        overdue=overdue,
        age=measured(overdue.age),
        expected=f"usually within {within}" if overdue.usual else f"within {within}; too few answers to know better",
    )


def sentence_of(callback: Callback) -> str:
    """What it is to its row, for a person."""
    if not callback.is_of_test:
        return SENTENCES[CallbackState(callback.state)]
    if callback.state == CallbackState.USED:
        return "It answers the row of a test there and back. No run waits for it."
    return "It came after another one had answered the row of a test. It is kept, and changes nothing."


SENTENCES = {
    CallbackState.KEPT: "It came before a step waits for it, and is kept until one does.",
    CallbackState.USED: "It is the result of the step that waited for it.",
    CallbackState.UNMATCHED: "It did not satisfy what the waiting step asks for, so the step goes on waiting.",
    CallbackState.UPDATE: "It came after another one had been used. It is kept; the run's result is unchanged.",
    CallbackState.LATE: "It came after the run had ended. It is kept and changes nothing.",
    CallbackState.AMBIGUOUS: "Several rows were sent under its request_id, so nobody knows which one it answers, "
    "and no run goes on until somebody has said which one it is. For the future, give each row its own request_id, "
    "such as ${{ meta.run_id }}, or let Clay post to the row's callback_url.",
}
