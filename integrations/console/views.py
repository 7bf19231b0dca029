"""Govern > Integrations: what is connected, connecting, one integration and its test."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_POST, require_safe

from integrations import connecting, probing
from integrations.console.finding import abilities, find_integration, find_provider, posted, token_header
from integrations.console.forms import Pasted, RowForm, connect_form, fields_shown, unpack
from integrations.console.showing import (
    Outcome,
    connected,
    last_attempts,
    outcome_of_test,
    provider_cards,
    sharing_pace,
)
from integrations.console.tabs import Tab, on_tab
from integrations.forms import OptionsForm
from integrations.models import Integration
from integrations.providers.contract import Provider
from integrations.reaching_us import why_unreachable
from integrations.secrets import WrongKey
from mobius.errors import Conflict, MobiusError
from mobius.projects.audit_models import AuditEvent
from mobius.projects.models import Project
from mobius.projects.roles import Permission
from mobius.web.access import ProjectRequest, project_page
from mobius.web.checking import checked, is_check
from mobius.web.forms import explain, form_page
from mobius.web.lists import rows

UNPROCESSABLE = 422


@project_page(Permission.READ)
@require_safe
def integrations(request: ProjectRequest, project: Project) -> HttpResponse:
    found = connected(project)
    context = {"integrations": found, "cards": provider_cards(found), **abilities(request)}
    return render(request, "integrations/integrations.html", context)


@never_cache
@sensitive_post_parameters("webhook_url", "auth_header_value")
@sensitive_variables("fields", "pasted", "form")
@project_page(Permission.ADMINISTER)
@form_page
def connect(request: ProjectRequest, project: Project, provider_id: str) -> HttpResponse:
    provider = find_provider(provider_id)
    fields = posted(request)
    if fields is None:
        return _connect_page(request, provider, connect_form(provider, name=request.GET.get("name", "")))
    pasted = unpack(fields, token_header(provider))
    form = connect_form(provider, pasted)
    if is_check(request):
        return checked(request, form)
    integration = _connect(request, provider, form) if form.is_valid() else None
    if pasted.took:
        messages.info(request, pasted.took)
    if integration is None:
        return _connect_page(request, provider, form, pasted)
    return _arrive(request, integration, form, then_test="test" in request.POST)


@project_page(Permission.READ)
@require_safe
@never_cache
def integration(request: ProjectRequest, project: Project, integration_id: str) -> HttpResponse:
    found = find_integration(project, integration_id)
    outcome = outcome_of_test(found, request.GET.get("test", ""))
    return integration_page(request, found, RowForm(find_provider(found.provider)), outcome=outcome)


def integration_page(
    request: ProjectRequest, found: Integration, form: RowForm, *, outcome: Outcome | None = None, **more: Any
) -> HttpResponse:
    """The overview, with the `outcome` of one test, and what the caller has `more` to show of it."""
    context = {
        **on_tab(Tab.OVERVIEW, request, found),
        "form": form,
        "outcome": outcome,
        "attempts": last_attempts(found),
        "sharing_pace": sharing_pace(found),
        "unreachable": why_unreachable(find_provider(found.provider).name),
        **more,
    }
    return render(request, "integrations/integration.html", context, status=UNPROCESSABLE if form.errors else 200)


@project_page(Permission.READ)
@require_safe
def activity(request: ProjectRequest, project: Project, integration_id: str) -> HttpResponse:
    """Who did what to it."""
    found = find_integration(project, integration_id)
    done = AuditEvent.objects.of_project(project).of_object(found.pk)
    context = {**on_tab(Tab.ACTIVITY, request, found), "page": rows(request, done)}
    return render(request, "integrations/activity.html", context)


@project_page(Permission.OPERATE)
@require_POST
def send_test(request: ProjectRequest, project: Project, integration_id: str) -> HttpResponse:
    found = find_integration(project, integration_id)
    form = RowForm(find_provider(found.provider), posted(request))
    if form.is_valid():
        try:
            return redirect(_outcome_url(found, probing.probe(found, form.cleaned_data["row"], by=request.actor)))
        except MobiusError as error:
            explain(form, error)
    return integration_page(request, found, form)


def _connect(request: ProjectRequest, provider: Provider, form: Any) -> Integration | None:
    """None when the address belongs to another integration, or our key is wrong; the form then says so."""
    try:
        return connecting.connect(
            project=request.access.project,
            provider=provider,
            connection=form.connection,
            options=form.options,
            by=request.actor,
        )
    except (Conflict, WrongKey) as error:
        explain(form, error, names={"": "webhook_url", "name": "webhook_url"})
        return None


def _arrive(request: ProjectRequest, integration: Integration, form: Any, *, then_test: bool) -> HttpResponse:
    """To the page of what was just connected, with its test's result."""
    messages.success(request, f"{find_provider(integration.provider).name} is connected as {integration.name}.")
    for warning in form.warnings():
        messages.warning(request, warning)
    if then_test:
        try:
            return redirect(_outcome_url(integration, probing.probe(integration, by=request.actor)))
        except MobiusError as error:
            messages.error(request, f"The test could not be sent. {error.message}")
    return redirect("console:integration", integration.project.handle, integration.pk)


def _outcome_url(integration: Integration, probe: probing.Probe) -> str:
    page = reverse("console:integration", args=[integration.project.handle, integration.pk])
    return f"{page}?{urlencode({'test': probe.attempt.pk})}"


def _connect_page(request: ProjectRequest, provider: Provider, form: Any, pasted: Pasted | None = None) -> HttpResponse:
    context = {
        **fields_shown(provider, form, OptionsForm, pasted),
        "connected": Integration.objects.filter(project=request.access.project, provider=provider.id).order_by("name"),
        "again": request.GET.get("name", ""),
    }
    return render(request, "integrations/connect.html", context, status=UNPROCESSABLE if form.errors else 200)
