"""Govern > Webhooks: which systems are told what happens to runs."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mobius.errors import MobiusError
from mobius.notifying import sending, subscribing
from mobius.notifying.console.forms import EndpointForm
from mobius.notifying.models import Endpoint, Notification
from mobius.notifying.sending import Ping
from mobius.notifying.signing import new_secret
from mobius.notifying.subscribing import NewSecret
from mobius.projects.models import Project
from mobius.projects.roles import Permission
from mobius.web.access import ProjectRequest, project_page
from mobius.web.forms import explain, form_page, posted
from mobius.web.lists import rows


@never_cache
@sensitive_variables("made", "secret")
@project_page(Permission.READ)
@form_page
def webhooks(request: ProjectRequest, project: Project) -> HttpResponse:
    """The list and the form. A new one is answered with the page that shows its secret, once."""
    may_edit = request.access.allows(Permission.ADMINISTER)
    if request.method == "POST" and not may_edit:
        raise PermissionDenied("Only admins add webhooks.")
    form = EndpointForm(posted(request))
    pinged, made = None, None
    if form.is_valid():
        secret = new_secret()
        pinged = _ping_first(request, form, Endpoint(project=project), secret)
        made = _create(request, project, form, secret) if pinged is None or pinged.success else None
    if made is not None:
        return render(request, "notifying/secret.html", {"made": made, "webhook": made.endpoint}, status=201)
    endpoints = Endpoint.objects.of_project(project).order_by("-pk")
    shown = [(one, _state(one)) for one in endpoints]
    context = {"form": form, "pinged": pinged, "may_edit": may_edit, "webhooks": shown}
    failed = bool(form.errors) or pinged is not None
    return render(request, "notifying/webhooks.html", context, status=422 if failed else 200)


@project_page(Permission.READ)
@require_safe
def webhook(request: ProjectRequest, project: Project, webhook_id: str) -> HttpResponse:
    return _draw(request, _find(project, webhook_id))


@project_page(Permission.ADMINISTER)
@require_http_methods(["GET", "POST"])
def save(request: ProjectRequest, project: Project, webhook_id: str) -> HttpResponse:
    """Write the changes. (A reload of the page with the mistakes is a GET.)"""
    found = _find(project, webhook_id)
    if request.method == "GET":
        return redirect("console:webhook", project.handle, found.pk)
    form = EndpointForm(request.POST, endpoint=found)
    if not form.is_valid():
        return _draw(request, found, form=form)
    pinged = _ping_first(request, form, found, "")
    if form.errors or (pinged is not None and not pinged.success):
        return _draw(request, found, form=form, pinged=pinged)
    try:
        subscribing.update_endpoint(found, form.changes, by=request.actor)
    except MobiusError as error:
        explain(form, error)
        return _draw(request, _find(project, webhook_id), form=form)
    messages.success(request, "Saved.")
    return redirect("console:webhook", project.handle, found.pk)


@project_page(Permission.ADMINISTER)
@require_http_methods(["GET", "POST"])
def ping(request: ProjectRequest, project: Project, webhook_id: str) -> HttpResponse:
    found = _find(project, webhook_id)
    if request.method == "GET":
        return redirect("console:webhook", project.handle, found.pk)
    try:
        return _draw(request, found, pinged=sending.ping(found, url=subscribing.checked_url(found.url)))
    except MobiusError as error:
        messages.error(request, error.message)
        return redirect("console:webhook", project.handle, found.pk)


@project_page(Permission.ADMINISTER)
@require_POST
def switch(request: ProjectRequest, project: Project, webhook_id: str) -> HttpResponse:
    """On or off."""
    found = _find(project, webhook_id)
    on = request.POST.get("enabled") == "true"
    subscribing.update_endpoint(found, {"enabled": on}, by=request.actor)
    messages.success(request, "It is told what happens from now on." if on else "It is told nothing any more.")
    return redirect("console:webhook", project.handle, found.pk)


@never_cache
@sensitive_variables("made")
@project_page(Permission.ADMINISTER)
@form_page
def rotate(request: ProjectRequest, project: Project, webhook_id: str) -> HttpResponse:
    found = _find(project, webhook_id)
    if request.method != "POST":
        return render(request, "notifying/rotate.html", {"webhook": found})
    made = subscribing.rotate_secret(found, by=request.actor)
    return render(request, "notifying/secret.html", {"made": made, "webhook": found, "rotated": True}, status=201)


@project_page(Permission.ADMINISTER)
@form_page
def delete(request: ProjectRequest, project: Project, webhook_id: str) -> HttpResponse:
    found = _find(project, webhook_id)
    if request.method != "POST":
        return render(request, "notifying/delete.html", {"webhook": found})
    subscribing.delete_endpoint(found, by=request.actor)
    messages.success(request, f"The webhook {found.name} is deleted, and its log with it.")
    return redirect("console:webhooks", project.handle)


def _find(project: Project, webhook_id: str) -> Endpoint:
    found = Endpoint.objects.of_project(project).filter(pk=webhook_id).first()
    if found is None:
        raise Http404("There is no such webhook.")
    return found


@sensitive_variables("secret")
def _ping_first(request: ProjectRequest, form: EndpointForm, endpoint: Endpoint, secret: str) -> Ping | None:
    """The test that was asked for before anything is saved. None: none was asked for, or the form says why not."""
    if request.POST.get("then") != "ping":
        return None
    try:
        url = subscribing.checked_url(form.cleaned_data["url"].strip() or endpoint.url)
        return sending.ping(endpoint, url=url, secret=secret)
    except MobiusError as error:
        explain(form, error)
    return None


@sensitive_variables("secret")
def _create(request: ProjectRequest, project: Project, form: EndpointForm, secret: str) -> NewSecret | None:
    """None when it cannot be made; the form then says why."""
    if form.errors:
        return None
    try:
        return subscribing.create_endpoint(project=project, **form.cleaned_data, secret=secret, by=request.actor)
    except MobiusError as error:
        explain(form, error)
    return None


def _draw(
    request: ProjectRequest, endpoint: Endpoint, *, form: EndpointForm | None = None, pinged: Ping | None = None
) -> HttpResponse:
    context: dict[str, Any] = {
        "webhook": endpoint,
        "state": _state(endpoint),
        "page": rows(request, Notification.objects.filter(endpoint=endpoint).without_bodies()),
        "form": form or EndpointForm(endpoint=endpoint),
        "pinged": pinged,
        "may_edit": request.access.allows(Permission.ADMINISTER),
    }
    failed = (form is not None and form.errors) or (pinged is not None and not pinged.success)
    return render(request, "notifying/webhook.html", context, status=422 if failed else 200)


def _state(endpoint: Endpoint) -> str:
    if not endpoint.enabled:
        return "disabled"
    return "failing" if endpoint.failures_in_a_row else "enabled"
