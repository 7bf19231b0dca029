"""Govern > API keys: who may act in this project without being a person."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_safe

from mobius import clock
from mobius.errors import MobiusError
from mobius.projects.console.forms import NewKeyForm
from mobius.projects.key_models import ApiKey, RefusedCall
from mobius.projects.keys import NewKey, create_key, revoke
from mobius.projects.models import Project
from mobius.projects.refusals import KEPT
from mobius.projects.roles import Permission, Role
from mobius.projects.uses import DAYS, MOST_A_DAY, NOTED_EVERY, users_of
from mobius.web.access import ProjectRequest, project_page
from mobius.web.forms import explain, form_page, posted
from mobius.web.lists import rows


@never_cache
@sensitive_variables("made")
@project_page(Permission.ADMINISTER)
@form_page
def api_keys(request: ProjectRequest, project: Project) -> HttpResponse:
    """The list and the form. A new key is answered with the page that shows it, once: it is stored nowhere."""
    form = NewKeyForm(posted(request))
    made = _create(request, project, form) if form.is_valid() else None
    if made is not None:
        return render(request, "projects/api_key_made.html", {"made": made}, status=201)
    page = rows(request, ApiKey.objects.filter(project=project).select_related("created_by"))
    now = clock.now()
    context = {"form": form, "page": page, "keys": [(key, _state(key, key.is_live(now))) for key in page.items]}
    return render(request, "projects/api_keys.html", context, status=422 if form.errors else 200)


@project_page(Permission.ADMINISTER)
@require_safe
def api_key(request: ProjectRequest, project: Project, key_id: str) -> HttpResponse:
    """One key, what used it lately, and its last calls that were refused."""
    key = _find(project, key_id)
    context = {
        "key": key,
        "state": _state(key, key.is_live(clock.now())),
        "refused": RefusedCall.objects.of_key(key)[:KEPT],
        "kept": KEPT,
    }
    return render(request, "projects/api_key.html", context | _used(key))


@project_page(Permission.ADMINISTER)
@form_page
def revoke_api_key(request: ProjectRequest, project: Project, key_id: str) -> HttpResponse:
    key = _find(project, key_id)
    if request.method != "POST":
        return render(request, "projects/api_key_revoke.html", {"key": key} | _used(key))
    revoke(key, by=request.actor)
    messages.success(request, f"The key {key.name} is revoked. It opens nothing any more.")
    return redirect("console:api_keys", project.handle)


@sensitive_variables("made")
def _create(request: ProjectRequest, project: Project, form: NewKeyForm) -> NewKey | None:
    """None when the key cannot be made; the form then says why."""
    try:
        return create_key(
            project=project,
            name=form.cleaned_data["name"],
            role=Role(form.cleaned_data["role"]),
            expires_at=form.expires_at,
            created_by=request.user,
            by=request.actor,
        )
    except MobiusError as error:
        explain(form, error, names={"expires_at": "expires_on", "scope_role_id": "role"})
    return None


def _used(key: ApiKey) -> dict[str, Any]:
    """What used the key lately, and how exactly that is known."""
    every = int(NOTED_EVERY.total_seconds() // 60)
    return {"users": users_of(key), "days": DAYS, "noted_every_minutes": every, "most_a_day": MOST_A_DAY}


def _find(project: Project, key_id: str) -> ApiKey:
    key = ApiKey.objects.filter(project=project, pk=key_id).select_related("created_by").first()
    if key is None:
        raise Http404("There is no such API key.")
    return key


def _state(key: ApiKey, live: bool) -> str:
    if live:
        return "active"
    if key.revoked_at:
        return "revoked"
    return "disabled" if key.disabled else "expired"
