"""The recipe of a loop: how a provider's rows call it, field by field, and what of it has arrived."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Any

from django import forms
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_GET, require_http_methods

from integrations.console.finding import find_integration
from integrations.console.tabs import Tab, on_tab
from integrations.providers.contract import Provider
from integrations.reaching_us import why_unreachable
from loops.arriving import KEY_TAG, Arrivals, Check, arrivals, keys_for
from loops.console.callbacks import SENTENCES
from loops.console.finding import find_loop
from loops.console.parts import Part
from loops.console.runs import STOP_POLLING
from loops.console.showing import Shown, shown
from loops.console.watching import is_watched, opened_now
from loops.models import CallbackState, Loop, LoopStatus
from loops.recipes import CallbackRecipe, StartRecipe, callback_recipes, callers, start_recipe
from loops.spec import KeyAfterEnd
from loops.versions import spec_of
from mobius.errors import MobiusError
from mobius.projects.key_models import ApiKey, RefusedCall
from mobius.projects.keys import NewKey, create_key
from mobius.projects.models import Project
from mobius.projects.roles import Permission, Role
from mobius.web.access import ProjectRequest, project_page
from mobius.web.forms import explain
from mobius.web.lists import rows

_LONGEST_VALUE = 120
_REFUSED_SHOWN = 5
_AFTER_THE_END = {
    KeyAfterEnd.CONFLICT: "is refused with 409, which the cell shows",
    KeyAfterEnd.RETURN: "gets that run again",
    KeyAfterEnd.RESTART: "starts a new run",
}
_PURPOSES = {Role.RUN: "{provider} starts {loop}", Role.CALLBACK: "{provider} answers {loop}"}


class RecipeKeyForm(forms.Form):
    """Which of the two narrow keys is made."""

    role = forms.ChoiceField(
        choices=[(role.value, role.label) for role in _PURPOSES],
        error_messages={"required": "Say what the key is for.", "invalid_choice": "A recipe needs no such key."},
    )


@dataclass(frozen=True, kw_only=True)
class LoopRecipe:
    """What the page is drawn from."""

    loop: Loop
    provider: Provider
    start: StartRecipe
    callbacks: list[CallbackRecipe]
    after_the_end: str  # what a call gets whose run has ended
    keys: list[ApiKey]

    def key_of(self, role: Role) -> ApiKey | None:
        """The latest that was made for it."""
        return next((key for key in self.keys if key.role == role), None)


@require_GET
@project_page(Permission.READ)
def integration_recipe(request: ProjectRequest, project: Project, integration_id: str) -> HttpResponse:
    """The loops that the integration's rows can call: each has a recipe of its own."""
    integration = find_integration(project, integration_id)
    provider = next((one for one in callers() if one.id == integration.provider), None)
    if provider is None:
        raise Http404("No row of this integration can call this console.")
    loops = Loop.objects.present().of_project(project).exclude(status=LoopStatus.DRAFT)
    may_edit = request.access.allows(Permission.ADMINISTER)
    context = {"provider": provider, "page": rows(request, loops), "may_edit": may_edit}
    return render(request, "loops/integration_recipe.html", context | on_tab(Tab.RECIPE, request, integration))


@require_GET
@never_cache
@project_page(Permission.READ)
def recipe_page(request: ProjectRequest, project: Project, loop_id: str) -> HttpResponse:
    return _draw(request, _recipe(request, project, loop_id))


@require_http_methods(["GET", "POST"])
@never_cache
@sensitive_variables("made")
@project_page(Permission.ADMINISTER)
def recipe_key(request: ProjectRequest, project: Project, loop_id: str) -> HttpResponse:
    """Make a key for the recipe, and show it once in its place. (A reload of the page with the mistakes is a GET.)"""
    recipe = _recipe(request, project, loop_id)
    if request.method == "GET":
        return redirect("console:loop_recipe", project.handle, loop_id)
    form = RecipeKeyForm(request.POST)
    made = _make_key(request, recipe, form) if form.is_valid() else None
    return _draw(request, recipe, form=form, made=made, status=201 if made else 422)


@require_GET
@never_cache
@project_page(Permission.READ)
def recipe_live(request: ProjectRequest, project: Project, loop_id: str) -> HttpResponse:
    """What has arrived, where it differs from what the page shows; it is looked for half an hour at most."""
    recipe = _recipe(request, project, loop_id)
    found = arrivals(recipe.loop, recipe.start, recipe.callbacks, recipe.keys)
    over = not is_watched(request)
    seen = set(request.GET.getlist("seen"))
    news = [part for part in _parts(recipe, found, over=over) if part.seen not in seen]
    status = STOP_POLLING if over or found.are_good else 200
    if not news:
        return HttpResponse(status=204 if status == 200 else status)
    context = {"recipe": recipe, "parts": news, "says": _says(found)}
    return render(request, "loops/recipe_live.html", context, status=status)


def _recipe(request: ProjectRequest, project: Project, loop_id: str) -> LoopRecipe:
    loop = find_loop(project, loop_id)
    provider = _provider(request.GET.get("provider", ""))
    if loop.current_version_id is None:
        raise Http404("The loop has no version.")
    spec = spec_of(loop.current_version_id)
    return LoopRecipe(
        loop=loop,
        provider=provider,
        start=start_recipe(loop, spec, provider),
        callbacks=callback_recipes(loop, spec),
        after_the_end=_AFTER_THE_END[spec.key_after_end],
        keys=keys_for(loop),
    )


def _provider(asked: str) -> Provider:
    """The one that was asked for, else the first that can call us."""
    able = callers()
    found = next((one for one in able if one.id == asked), None) or next(iter(able), None)
    if found is None:
        raise Http404("No provider can call this console.")
    return found


@sensitive_variables("made")
def _draw(
    request: ProjectRequest,
    recipe: LoopRecipe,
    *,
    form: RecipeKeyForm | None = None,
    made: NewKey | None = None,
    status: int = 200,
) -> HttpResponse:
    found = arrivals(recipe.loop, recipe.start, recipe.callbacks, recipe.keys)
    parts = _parts(recipe, found, over=False)
    context = {
        "loop": recipe.loop,
        "recipe": recipe,
        "book": recipe.provider.recipes,
        "callers": callers(),
        "form": form,
        "made": made,
        "run_key": recipe.key_of(Role.RUN),
        "callback_key": recipe.key_of(Role.CALLBACK),
        "unreachable": why_unreachable(recipe.provider.name),
        "part": {part.name: part for part in parts},
        "live": "" if found.are_good else _live_address(recipe),
        "may_administer": request.access.allows(Permission.ADMINISTER),
    }
    return render(request, "loops/recipe.html", context, status=status)


@sensitive_variables("made")
def _make_key(request: ProjectRequest, recipe: LoopRecipe, form: RecipeKeyForm) -> NewKey | None:
    """None when it cannot be made; the form then says why."""
    role = Role(form.cleaned_data["role"])
    try:
        return create_key(
            project=request.access.project,
            name=_free_name(recipe, role),
            role=role,
            tags={KEY_TAG: recipe.loop.pk},
            created_by=request.user,
            by=request.actor,
        )
    except MobiusError as error:
        explain(form, error, names={"name": "", "scope_role_id": "role"})
    return None


def _free_name(recipe: LoopRecipe, role: Role) -> str:
    """One that no other key of the project holds, such as one of a loop of this name that was deleted."""
    name = _PURPOSES[role].format(provider=recipe.provider.name, loop=recipe.loop.name)[:180].strip()
    holding = ApiKey.objects.filter(project_id=recipe.loop.project_id).holding_names(name)
    taken = set(holding.values_list("name", flat=True))
    numbered = (f"{name} ({number})" if number > 1 else name for number in count(1))
    return next(one for one in numbered if one not in taken)


def _live_address(recipe: LoopRecipe) -> str:
    address = reverse("console:loop_recipe_live", args=[recipe.loop.project.handle, recipe.loop.pk])
    return f"{address}?provider={recipe.provider.id}&{opened_now()}"


def _parts(recipe: LoopRecipe, found: Arrivals, *, over: bool) -> list[Part]:
    common = {"recipe": recipe, "handle": recipe.loop.project.handle, "over": over, "watched": not found.are_good}
    call, callback = found.call, found.callback
    others = [shown(name, longest=_LONGEST_VALUE) for name in call.others] if call else []
    checks = _shown(call.checks if call else [])
    about_call = {"call": call, "checks": checks, "others": others, "found": found, "refused": _refused(recipe, found)}
    parts = [_part("call", common | about_call)]
    if recipe.callbacks:
        says = SENTENCES[CallbackState(callback.callback.state)] if callback else ""
        checks = _shown(callback.checks if callback else [])
        parts.append(_part("callback", common | {"callback": callback, "checks": checks, "says": says}))
    return parts


def _refused(recipe: LoopRecipe, found: Arrivals) -> list[RefusedCall]:
    """The last calls with the recipe's keys that were refused, as far as they came after what arrived."""
    calls = RefusedCall.objects.of_keys(key for key in recipe.keys if key.role == Role.RUN)
    if found.call is not None:
        calls = calls.filter(called_at__gt=found.call.run.created_at)
    return list(calls[:_REFUSED_SHOWN])


def _part(name: str, context: dict[str, Any]) -> Part:
    return Part(name=name, content=render_to_string(f"loops/parts/recipe_{name}.html", context))


def _shown(checks: list[Check]) -> list[tuple[Check, Shown]]:
    return [(check, shown(check.value, longest=_LONGEST_VALUE)) for check in checks]


def _says(found: Arrivals) -> str:
    """What is read out when something has arrived."""
    if found.call is None and found.callback is None:
        return ""
    return "Everything has arrived as it should." if found.are_good else "Something has arrived. See what came."
