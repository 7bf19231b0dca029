"""What the expressions of a draft give, by the very code that a run uses: against the last run, or an example."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from loops.console.editor.fields import Holds
from loops.console.editor.layout import Entry, Layout
from loops.expressions import (
    CALLBACK_PLACEHOLDER,
    ExpressionError,
    Names,
    compile_predicate,
    compile_template,
    evaluate,
    render,
    truthy,
)
from loops.expressions.templates import OPENING
from loops.models import Loop, Run, Step
from loops.playing import meta_of
from loops.spec import LoopSpec
from loops.spec.step_rules import keys_of

JsonObject = dict[str, Any]
_LONGEST = 300  # characters
_MOST_SECONDS = 3.0  # of this thread's processor time, for all of a page


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a text gives, or why it gives nothing."""

    text: str
    is_error: bool = False

    @property
    def word(self) -> str:
        return "Does not work" if self.is_error else "Gives"


def names_of(loop: Loop, spec: LoopSpec, draft: JsonObject, event: JsonObject, run: Run | None) -> Names:
    """What the expressions of `draft` can read: `event`, defaults of `spec`, and what the last `run` had."""
    meta = meta_of(run) if run else {"run_id": "run_example", "loop_id": loop.pk, "source": {}, "trigger": "manual"}
    return Names(
        event=spec.filled_event(event),
        meta=meta,
        config=spec.filled_config(run.config if run else {}),
        steps=Step.objects.outputs_of(run.pk) if run else {},
        step_order=tuple(keys_of(draft.get("steps"))),
    )


def preview(layout: Layout, names: Names) -> None:
    """Put at each text with an expression what it gives."""
    until = time.thread_time() + _MOST_SECONDS
    for entry in layout.entries:
        if _has_expression(entry) and time.thread_time() < until:
            entry.preview = _preview(entry, names)


def _has_expression(entry: Entry) -> bool:
    if entry.holds == Holds.EXPRESSION:
        return entry.value.strip() != ""
    return entry.holds == Holds.TEMPLATE and not entry.typed_type and OPENING in entry.value


def _preview(entry: Entry, names: Names) -> Preview:
    if entry.value == CALLBACK_PLACEHOLDER:
        return Preview(text="an address of its own for each row")
    try:
        missing = _not_yet(entry, names)
        if missing:
            return Preview(text=f"known once the step {missing} has run")
        if "payload_mapping" in entry.path:
            return Preview(text="known once something has come")
        if entry.holds == Holds.TEMPLATE:
            return Preview(text=_cut(render(entry.value, names)) or "an empty text")
        value = evaluate(entry.value, names)
    except ExpressionError as error:
        return Preview(text=error.message, is_error=True)
    return Preview(text=f"{'yes' if truthy(value) else 'no'} ({_cut(json.dumps(value, ensure_ascii=False))})")


def _not_yet(entry: Entry, names: Names) -> str:
    """The first step that it reads and that has no output yet; "" when there is none."""
    if entry.holds == Holds.TEMPLATE:
        read = [key for one in compile_template(entry.value).expressions for key in one.steps]
    else:
        read = list(compile_predicate(entry.value).steps)
    known = set(names.step_order) | set(range(len(names.step_order)))
    return next((str(key) for key in read if key in known and key not in names.roots["steps"]), "")


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
