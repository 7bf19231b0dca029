"""The successor of a webhook on its pages: stage it, test it, remove it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_POST

from integrations import probing, succession
from integrations.console.finding import abilities, find_integration, find_provider, posted, token_header
from integrations.console.forms import Pasted, fields_shown, stage_form, unpack
from integrations.console.showing import show
from integrations.forms import BudgetForm
from integrations.models import Integration, Webhook
from integrations.secrets import WrongKey
from mobius.errors import Conflict, MobiusError
from mobius.projects.auditing import Actor
from mobius.projects.models import Project
from mobius.projects.roles import Permission
from mobius.web.access import ProjectRequest, project_page
from mobius.web.checking import checked, is_check
from mobius.web.forms import explain, form_page


@never_cache
@sensitive_post_parameters("webhook_url", "auth_header_value")
@sensitive_variables("fields", "pasted", "form")
@project_page(Permission.ADMINISTER)
@form_page
def successor(request: ProjectRequest, project: Project, integration_id: str) -> HttpResponse:
    integration = find_integration(project, integration_id)
    provider = find_provider(integration.provider)
    fields = posted(request)
    if fields is None:
        return _page(request, integration, stage_form(provider))
    pasted = unpack(fields, token_header(provider))
    form = stage_form(provider, pasted)
    if is_check(request):
        return checked(request, form)
    staged = _stage(integration, form, request.actor) if form.is_valid() else None
    if pasted.took:
        messages.info(request, pasted.took)
    if staged is None:
        return _page(request, integration, form, pasted)
    messages.success(request, f"The successor {staged.masked_url} is staged.")
    for warning in form.warnings():
        messages.warning(request, warning)
    return _test(request, integration, staged) if "test" in request.POST else _back_to(integration)


@project_page(Permission.OPERATE)
@require_POST
def test(request: ProjectRequest, project: Project, integration_id: str) -> HttpResponse:
    integration = find_integration(project, integration_id)
    staged = Webhook.objects.staged_for(integration)
    if staged is None:
        messages.error(request, "There is no successor. Perhaps it has taken over meanwhile.")
        return _back_to(integration)
    return _test(request, integration, staged)


@project_page(Permission.ADMINISTER)
@require_POST
def remove(request: ProjectRequest, project: Project, integration_id: str) -> HttpResponse:
    integration = find_integration(project, integration_id)
    try:
        succession.unstage(integration, by=request.actor)
        messages.success(request, "The successor is removed, and its URL and header are erased.")
    except Conflict as error:
        messages.error(request, error.message)
    return _back_to(integration)


def _stage(integration: Integration, form: Any, by: Actor) -> Webhook | None:
    """None when the address cannot be used; the form then says why."""
    try:
        return succession.stage(integration, form.connection, form.options, by=by)
    except (Conflict, WrongKey) as error:
        explain(form, error, names={"": "webhook_url", "name": "webhook_url"})
        return None


def _test(request: ProjectRequest, integration: Integration, staged: Webhook) -> HttpResponse:
    """One row to the successor; its page shows what came of it."""
    try:
        probe = probing.probe(integration, webhook=staged, by=request.actor)
    except MobiusError as error:
        messages.error(request, f"The test could not be sent. {error.message}")
        return _back_to(integration)
    if probe.ok:
        messages.success(request, "The test succeeded: the successor takes over when the current webhook is full.")
    else:
        messages.error(request, "The test failed: the successor does not take over until a test succeeds.")
    return redirect(f"{_back_to(integration).url}?test={probe.attempt.pk}")


def _back_to(integration: Integration) -> HttpResponseRedirect:
    return redirect("console:integration", integration.project.handle, integration.pk)


def _page(request: ProjectRequest, integration: Integration, form: Any, pasted: Pasted | None = None) -> HttpResponse:
    provider = find_provider(integration.provider)
    context = {"shown": show(integration), **fields_shown(provider, form, BudgetForm, pasted), **abilities(request)}
    return render(request, "integrations/successor.html", context, status=422 if form.errors else 200)
