"""What an admin does to an integration: pause, resume, rotate, set, disconnect."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_POST

from integrations import connecting, probing
from integrations.choosing import open_connection
from integrations.configuring import configure, settings_of
from integrations.console.finding import find_integration, find_provider, posted
from integrations.console.forms import DisconnectForm, rotate_form
from integrations.console.showing import Outcome, open_rows, outcome_of_test, show
from integrations.console.tabs import Tab, on_tab
from integrations.forms import SettingsForm
from integrations.models import Integration
from mobius.errors import AlreadyExists, MobiusError
from mobius.projects.auditing import Actor
from mobius.projects.models import Project
from mobius.projects.roles import Permission
from mobius.web.access import ProjectRequest, project_page
from mobius.web.checking import checked, is_check
from mobius.web.forms import explain, form_page


@project_page(Permission.ADMINISTER)
@require_POST
def pause(request: ProjectRequest, project: Project, integration_id: str) -> HttpResponse:
    integration = connecting.pause(find_integration(project, integration_id), by=request.actor)
    messages.success(request, f"{integration.name} is paused. Rows wait until you resume it.")
    return _back_to(integration)


@project_page(Permission.ADMINISTER)
@require_POST
def resume(request: ProjectRequest, project: Project, integration_id: str) -> HttpResponse:
    integration = connecting.resume(find_integration(project, integration_id), by=request.actor)
    messages.success(request, f"{integration.name} sends again.")
    return _back_to(integration)


@never_cache
@sensitive_post_parameters("auth_header_value")
@sensitive_variables("form", "url")
@project_page(Permission.ADMINISTER)
@form_page
def rotate(request: ProjectRequest, project: Project, integration_id: str) -> HttpResponse:
    integration = find_integration(project, integration_id)
    try:
        webhook = connecting.current_webhook(integration)
        url = open_connection(webhook).webhook_url
    except MobiusError as error:
        messages.error(request, error.message)
        return _back_to(integration)
    form = rotate_form(
        find_provider(integration.provider),
        webhook_url=url,
        fields=posted(request),
        header_name=webhook.auth_header_name,
    )
    if is_check(request):
        return checked(request, form)
    outcome = _try(request, integration, form) if form.is_valid() and "test" in request.POST else None
    if not form.is_valid():
        return _page(request, "integrations/rotate.html", integration, form, outcome=outcome)
    connecting.rotate(
        integration,
        auth_header_name=form.cleaned_data["auth_header_name"],
        auth_header_value=form.cleaned_data["auth_header_value"],
        by=request.actor,
    )
    tested = "It was tested and accepted." if outcome else "Test it."
    messages.success(request, f"{integration.name} uses the new auth header from now on. {tested}")
    for warning in form.warnings():
        messages.warning(request, warning)
    return _back_to(integration)


@project_page(Permission.ADMINISTER)
@form_page
def settings(request: ProjectRequest, project: Project, integration_id: str) -> HttpResponse:
    integration = find_integration(project, integration_id)
    try:
        webhook = connecting.current_webhook(integration)
    except MobiusError as error:
        messages.error(request, error.message)
        return _back_to(integration)
    form = SettingsForm(settings_of(integration, webhook), posted(request), counted=webhook.used)
    if is_check(request):
        return checked(request, form)
    if form.is_valid() and _configure(integration, form, request.actor):
        messages.success(request, "The settings are saved.")
        return _back_to(integration)
    found = find_integration(project, integration_id)
    context = {**on_tab(Tab.SETTINGS, request, found), "form": form}
    return render(request, "integrations/settings.html", context, status=422 if form.errors else 200)


@project_page(Permission.ADMINISTER)
@form_page
def disconnect(request: ProjectRequest, project: Project, integration_id: str) -> HttpResponse:
    integration = find_integration(project, integration_id)
    form = DisconnectForm(integration, posted(request))
    if not form.is_valid():
        attempts, on_their_way, in_doubt = open_rows(integration)
        counts = {"attempts": attempts, "on_their_way": on_their_way, "in_doubt": in_doubt}
        return _page(request, "integrations/disconnect.html", integration, form, **counts)
    name = integration.name
    connecting.disconnect(integration, by=request.actor)
    messages.success(request, f"{name} is disconnected, and its URL and header are erased.")
    return redirect("console:integrations", project.handle)


@sensitive_variables("form")
def _try(request: ProjectRequest, integration: Integration, form: Any) -> Outcome | None:
    """One row with the new header. The form says so when it was not accepted: the old one stays."""
    try:
        probe = probing.probe(integration, connection=form.connection, by=request.actor)
    except MobiusError as error:
        form.add_error(None, f"The test could not be sent, so the old header stays in use. {error.message}")
        return None
    if not probe.ok:
        form.add_error("auth_header_value", "The test did not succeed, so the old header stays in use.")
    return outcome_of_test(integration, probe.attempt.pk)


def _configure(integration: Integration, form: SettingsForm, by: Actor) -> bool:
    """False when the new name is taken; the form then says so."""
    try:
        configure(integration, form.options, by=by)
    except AlreadyExists as error:
        explain(form, error)
        return False
    return True


def _back_to(integration: Integration) -> HttpResponse:
    return redirect("console:integration", integration.project.handle, integration.pk)


def _page(request: ProjectRequest, template: str, integration: Integration, form: Any, **more: Any) -> HttpResponse:
    context = {"shown": show(integration), "form": form, **more}
    return render(request, template, context, status=422 if form.errors else 200)
