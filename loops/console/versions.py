"""The page of one version of a loop: what it was, what it changed, and the way back to it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET

from loops import authoring
from loops.console.differences import differences
from loops.console.finding import find_loop
from loops.console.forms import RestoreForm
from loops.console.operating import Question, ask
from loops.console.showing import editable, shown
from loops.console.triggers import without_handles
from loops.models import Loop, LoopVersion
from mobius.projects.models import Project
from mobius.projects.roles import Permission
from mobius.web.access import ProjectRequest, project_page
from mobius.web.forms import form_page, posted

JsonObject = dict[str, Any]
_VERSIONS_OFFERED = 200


@require_GET
@project_page(Permission.READ)
def version_page(request: ProjectRequest, project: Project, loop_id: str, number: int) -> HttpResponse:
    """What this version changed of the one before it, or of the one that the address names with `against`."""
    loop = find_loop(project, loop_id)
    version = _version(loop, number)
    other = _compared_with(request, loop, version)
    seen, before = (_seen(request, one) for one in (version, other))
    numbers = LoopVersion.objects.of_loop(loop).newest_first().values_list("number", flat=True)
    context = {
        "loop": loop,
        "version": version,
        "other": other,
        "numbers": numbers[:_VERSIONS_OFFERED],
        "differences": differences(editable(before), editable(seen)) if other else None,
        "spec": shown(seen),
        "json_title": f"Version {version.number}",
        "is_current": version.pk == loop.current_version_id,
        "may_edit": request.access.allows(Permission.ADMINISTER),
    }
    return render(request, "loops/version.html", context)


@form_page
@project_page(Permission.ADMINISTER)
def version_restore(request: ProjectRequest, project: Project, loop_id: str, number: int) -> HttpResponse:
    """Make this version's loop the current one again, as a new version."""
    loop = find_loop(project, loop_id)
    version, current = _version(loop, number), loop.current_version
    page = reverse("console:loop", args=[project.handle, loop.pk])
    if current is None or version.pk == current.pk:
        messages.info(request, f"Version {version.number} is the current one already.")
        return redirect(page)
    question = Question(
        heading=f"Make version {version.number} the current one again?",
        happens=(
            f"What version {version.number} was is saved as version {current.number + 1}. No version is lost.",
            "Runs that start from now on use it. Runs that have begun keep the one they started with.",
        ),
        button="Make it current",
        back=page,
        parents=(("Loops", reverse("console:loops", args=[project.handle])), (loop.name, page)),
    )

    def restore(form: forms.Form) -> str:
        edited = form.cleaned_data["version"]
        saved = authoring.rewrite_loop(loop, version.spec, edited=edited, by=request.actor)
        assert saved.current_version is not None  # it has just been saved
        return f"Saved as version {saved.current_version.number}: the loop is again what version {version.number} was."

    form = RestoreForm(posted(request), initial={"version": current.number})
    return ask(request, question, form, restore)


def _seen(request: ProjectRequest, version: LoopVersion | None) -> JsonObject:
    """What this person may see of it."""
    if version is None:
        return {}
    spec: JsonObject = version.spec
    return spec if request.access.allows(Permission.START) else without_handles(spec)


def _version(loop: Loop, number: int) -> LoopVersion:
    version = LoopVersion.objects.of_loop(loop).numbered(number)
    if version is None:
        raise Http404("There is no such version.")
    return version


def _compared_with(request: ProjectRequest, loop: Loop, version: LoopVersion) -> LoopVersion | None:
    """The version that the address asks for, else the one before; None for the first."""
    versions, asked = LoopVersion.objects.of_loop(loop), request.GET.get("against", "")
    if asked.isascii() and asked.isdigit() and len(asked) < 10:
        return versions.numbered(int(asked))
    return versions.before(version.number)
