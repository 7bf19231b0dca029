"""The pages on which people edit a loop: as a form, or as JSON. Both write the same."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render

from integrations.models import Integration
from integrations.providers.registry import all_actions
from loops import authoring
from loops.console.editor import writing
from loops.console.editor.fields import KIND_WORDS, Connected
from loops.console.editor.laying_out import lay_out
from loops.console.editor.layout import Layout
from loops.console.editor.previewing import names_of, preview
from loops.console.examples import example_event
from loops.console.finding import find_loop
from loops.console.forms import EventForm, LoopForm
from loops.console.showing import editable
from loops.models import Loop, Run
from loops.spec import LoopSpec, parse_loop
from loops.versions import spec_of
from mobius.api.parsing import parse_json
from mobius.errors import InvalidFields, MobiusError
from mobius.projects.models import Project
from mobius.projects.roles import Permission
from mobius.web.access import ProjectRequest, project_page
from mobius.web.forms import form_page

JsonObject = dict[str, Any]

_LARGEST = 80_000  # bytes of a draft: it travels with the form, beside its own texts
_MOST_ENTRIES = 400  # Django takes a thousand fields, and a row has three
_UNFIT = "This loop is too large or too unusual for the form, so here it is as JSON."


@dataclass(kw_only=True)
class _Editor:
    """What is on somebody's screen."""

    loop: Loop
    draft: JsonObject
    version: int  # that was current when they began
    connected: Connected
    layout: Layout
    event: EventForm
    last_run: Run | None
    focus: str = ""  # the id of what is new or has moved
    status: int = 200
    newer: int = 0  # the version that somebody else has saved meanwhile


@form_page
@project_page(Permission.ADMINISTER)
def loop_edit(request: ProjectRequest, project: Project, loop_id: str) -> HttpResponse:
    """The form. Each of its buttons says with `do` what is wanted; all but saving only draws the form anew."""
    loop = find_loop(project, loop_id)
    do, _, target = request.POST.get("do", "preview").partition(" ")
    if request.method == "POST" and do == "form":
        return _from_json(request, loop)
    draft = _posted_draft(request) if request.method == "POST" else _saved(loop)
    if draft is None:
        messages.error(request, "The form did not arrive whole, so nothing was done. This is the loop as it is saved.")
        return redirect("console:loop_edit", project.handle, loop.pk)
    if not _fits(draft):
        messages.info(request, _UNFIT)
        return redirect("console:loop_edit_json", project.handle, loop.pk)
    editor = _open(request, loop, draft)
    if request.method != "POST":
        return _draw(request, editor)
    writing.take(editor.layout, request.POST.dict())
    if do == "preview":
        return _previewed(request, editor)
    return _done(request, editor, do, target)


@form_page
@project_page(Permission.ADMINISTER)
def loop_edit_json(request: ProjectRequest, project: Project, loop_id: str) -> HttpResponse:
    loop = find_loop(project, loop_id)
    if request.method != "POST":
        return _draw_json(request, loop, _json_form(_saved(loop), _number(loop)))
    form = LoopForm(request.POST)
    if form.is_valid():
        try:
            return _save(request, loop, form.cleaned_data["spec"], form.cleaned_data["version"])
        except MobiusError as error:
            form.refuse(error)
    return _draw_json(request, loop, form)


def _done(request: ProjectRequest, editor: _Editor, do: str, target: str) -> HttpResponse:
    """What a button asks for, with what was typed; while some of that cannot be read, nothing is done."""
    old = editor.layout
    new = writing.written(editor.draft, old)
    if old.has_errors:
        editor.status = 422
        return _draw(request, editor)
    if do == "json":
        return _draw_json(request, editor.loop, _json_form(new, editor.version))
    if do == "save":
        try:
            return _save(request, editor.loop, new, editor.version)
        except MobiusError as error:
            return _refused(request, editor, new, error)
    focus = _rearranged(new, old, do, target, request.POST.get("kind", ""))
    again = _open(request, editor.loop, new)
    again.focus = focus
    return _draw(request, again)


def _refused(request: ProjectRequest, editor: _Editor, new: JsonObject, error: MobiusError) -> HttpResponse:
    """The form with what was typed, and with each fault at its place."""
    again = _open(request, editor.loop, new)
    if isinstance(error, InvalidFields):
        again.layout.tell(error.fields)
    else:
        again.layout.errors.append(error.message)
    if isinstance(error, authoring.NewerVersion):
        again.newer = _number(editor.loop)
    again.status = 422
    return _draw(request, again)


def _rearranged(draft: JsonObject, old: Layout, do: str, target: str, kind: str) -> str:
    """Do to the draft what a button of the `old` form asks for. Gives the id of what to look at next."""
    if do == "add-step":
        writing.add_step(draft, kind)
        return f"step-{len(draft['steps'])}"
    card = next((one for one in old.cards if str(one.number) == target), None)
    if card and do == "remove-step":
        writing.remove_step(draft, card.index)
        return "steps"
    if card and do in ("move-up", "move-down"):
        return f"step-{writing.move_step(draft, card.index, -1 if do == 'move-up' else 1) + 1}"
    group = next((one for one in old.groups if one.name == target), None)
    if group and do == "add-row":
        writing.add_row(draft, group.path)
        return f"{group.name}-last"
    group, row = next(((one, row) for one in old.groups for row in one.rows if row[0].name == target), (None, None))
    if group and row and do == "remove-row":
        path = row[0].path
        writing.remove_row(draft, path if row[0].key is None else (*path[:-1], row[0].key_value))
        return f"{group.name}-add"
    return ""


def _save(request: ProjectRequest, loop: Loop, authored: JsonObject, edited: int | None) -> HttpResponse:
    """Raises as `authoring.rewrite_loop` does."""
    if authored == _saved(loop):
        messages.info(request, "Nothing was changed, so there is no new version.")
        return redirect("console:loop", loop.project.handle, loop.pk)
    authoring.rewrite_loop(loop, authored, edited=edited, by=request.actor)
    messages.success(request, "Saved. Runs that start from now on use the new version.")
    return redirect("console:loop_version", loop.project.handle, loop.pk, _number(loop))


def _from_json(request: ProjectRequest, loop: Loop) -> HttpResponse:
    form = LoopForm(request.POST)
    if not form.is_valid():
        return _draw_json(request, loop, form)
    draft = form.cleaned_data["spec"]
    if not _fits(draft):
        form.add_error("spec", "The form shows loops of at most 80 kB whose steps are a list of objects.")
        return _draw_json(request, loop, form)
    return _draw(request, _open(request, loop, draft))


def _previewed(request: ProjectRequest, editor: _Editor) -> HttpResponse:
    """Nothing is written, not even into the draft."""
    if editor.event.is_valid():
        spec = _spec(editor)
        names = names_of(editor.loop, spec, editor.draft, editor.event.cleaned_data["event"], editor.last_run)
        preview(editor.layout, names)
    if request.headers.get("HX-Request"):
        return render(request, "loops/editor/previews.html", {"entries": list(editor.layout.entries)})
    editor.status = 200 if editor.event.is_valid() else 422
    return _draw(request, editor)


def _spec(editor: _Editor) -> LoopSpec:
    """The draft, or while it is not valid the loop as it is saved."""
    try:
        return parse_loop(editor.draft, actions=all_actions().keys())
    except MobiusError:
        current = editor.loop.current_version
        return spec_of(current.pk) if current else LoopSpec.from_stored({})


def _open(request: ProjectRequest, loop: Loop, draft: JsonObject) -> _Editor:
    connected: dict[str, dict[str, str]] = {}
    for provider, pk, name in Integration.objects.filter(project=loop.project).values_list("provider", "pk", "name"):
        connected.setdefault(provider, {})[pk] = name
    last_run = Run.objects.of_loop(loop.pk).order_by("-id").first()
    if "event" in request.POST:
        event = EventForm(request.POST)
    else:
        offered = last_run.event if last_run and last_run.event else _example(loop)
        event = EventForm(initial={"event": editable(offered)})
    typed = request.POST.get("version", "")
    is_number = typed.isascii() and typed.isdigit() and len(typed) < 10
    return _Editor(
        loop=loop,
        draft=draft,
        version=int(typed) if is_number else _number(loop),
        connected=connected,
        layout=lay_out(draft, connected),
        event=event,
        last_run=last_run,
    )


def _example(loop: Loop) -> JsonObject:
    return example_event(spec_of(loop.current_version.pk)) if loop.current_version else {}


def _saved(loop: Loop) -> JsonObject:
    return loop.current_version.spec if loop.current_version else {"name": loop.name}


def _number(loop: Loop) -> int:
    return loop.current_version.number if loop.current_version else 0


def _posted_draft(request: ProjectRequest) -> JsonObject | None:
    try:
        draft = parse_json(request.POST.get("draft", "").encode(errors="replace"))
    except MobiusError:
        return None
    return draft if isinstance(draft, dict) and draft else None


def _fits(draft: JsonObject) -> bool:
    steps = draft.get("steps")
    if not (steps is None or (isinstance(steps, list) and all(isinstance(one, dict) for one in steps))):
        return False
    if len(json.dumps(draft, ensure_ascii=False).encode()) > _LARGEST:
        return False
    return sum(1 for _ in lay_out(draft, {}).entries) <= _MOST_ENTRIES


def _json_form(draft: JsonObject, version: int) -> LoopForm:
    return LoopForm(initial={"spec": editable(draft), "version": version})


def _draw_json(request: ProjectRequest, loop: Loop, form: LoopForm) -> HttpResponse:
    return render(
        request, "loops/loop_edit_json.html", {"loop": loop, "form": form}, status=422 if form.errors else 200
    )


def _draw(request: ProjectRequest, editor: _Editor) -> HttpResponse:
    context = {
        "loop": editor.loop,
        "editor": editor,
        "layout": editor.layout,
        "draft": json.dumps(editor.draft, ensure_ascii=False),
        "event": editor.event,
        "kinds": [(kind.value, word) for kind, word in KIND_WORDS.items()],
        "problems": [(one, sentence) for one in editor.layout.entries for sentence in one.errors],
    }
    return render(request, "loops/loop_edit.html", context, status=editor.status)
