"""`${{ event.email }}` in the parameters of a loop's steps, and the bare predicates of `if`.

Names: `event`, `meta`, `config`, `steps.<id>.output`, `steps[0].output`, `callback.url`. What is put into a text is
data: it is never evaluated again. `{{Email}}` is Clay's syntax and plain text to us.

The callback's address. Rendering leaves `${{ callback.url }}` where the author asked for the address of this step's
callback; whoever sends the row fills in the real one, which is a capability. So in rendered parameters that text
always comes from the author: a value that holds it, or that would form it together with its neighbours, is an error.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from loops.expressions.evaluator import FAILURES, MAX_TEXT, least_size, text_of, value_of
from loops.expressions.grammar import Expression
from loops.expressions.templates import OPENING, ExpressionError, Template, compile_predicate, compile_template
from loops.expressions.tokens import Key, Refused, place_text

JsonObject = dict[str, Any]

CALLBACK_PLACEHOLDER = "${{ callback.url }}"
MAX_RENDERED_BYTES = MAX_TEXT
MAX_SECONDS = 1.0  # of this thread's processor time, so that a busy machine makes no difference

__all__ = [
    "CALLBACK_PLACEHOLDER",
    "MAX_RENDERED_BYTES",
    "ExpressionError",
    "Names",
    "Template",
    "check_syntax",
    "compile_predicate",
    "compile_template",
    "evaluate",
    "evaluate_each",
    "render",
    "render_parameters",
    "step_names",
    "string_leaves",
    "text_of",
    "truthy",
    "uses_callback_url",
]


@dataclass(frozen=True, kw_only=True)
class Names:
    """What expressions can read: JSON objects, and the outputs of the steps that have completed."""

    event: JsonObject = field(default_factory=dict)
    meta: JsonObject = field(default_factory=dict)
    config: JsonObject = field(default_factory=dict)
    steps: Mapping[str, Any] = field(default_factory=dict)  # the step's id, or its index as text -> its output
    step_order: tuple[str, ...] = ()  # every step's id in the loop's order, for `steps[0].output`
    callback_url: str = CALLBACK_PLACEHOLDER
    # Stands for the callback's address until a text is complete; no value can hold it, for it is made after them.
    sentinel: str = field(
        default_factory=lambda: f"\ue000{secrets.token_hex(16)}\ue001", init=False, repr=False, compare=False
    )

    @cached_property
    def roots(self) -> JsonObject:
        """The names as the evaluator reads them."""
        steps: dict[Key, Any] = {key: {"output": output} for key, output in self.steps.items()}
        steps |= {index: steps[key] for index, key in enumerate(self.step_order) if key in steps}
        callback = {"url": self.sentinel}
        return {"event": self.event, "meta": self.meta, "config": self.config, "steps": steps, "callback": callback}


def render(template: str, names: Names) -> str:
    """`template` with every `${{ … }}` replaced by the text of its value; at most 256 KiB. Raises ExpressionError."""
    return _rendered(template, names, _Allowance())


def render_parameters(parameters: JsonObject, names: Names) -> JsonObject:
    """`parameters` with every text in them rendered, however deep; keys and other values stay as they are.

    Raises ExpressionError, whose `path` is such as `payload.email`, also when all texts together exceed 256 KiB.
    """
    try:
        rendered: JsonObject = _rendered_value(parameters, names, _Allowance())
    except RecursionError:
        raise ExpressionError("the parameters are nested too deeply") from None
    return rendered


def evaluate(expression: str, names: Names) -> Any:
    """The JSON value of a bare expression, such as a step's `if`. Raises ExpressionError."""
    compiled = compile_predicate(expression)
    if compiled.uses_callback_url:
        raise ExpressionError("`callback.url` exists only in the parameters of an action", expression=compiled.text)
    return _evaluated(compiled, names)


def evaluate_each(expressions: Mapping[str, str], names: Names) -> JsonObject:
    """The values of bare expressions under their keys; together at most 256 KiB. Raises ExpressionError, whose `path`
    is the key."""
    allowance, found = _Allowance(), JsonObject()
    for key, expression in expressions.items():
        try:
            allowance.check_time()
            found[key] = evaluate(expression, names)
        except ExpressionError as error:
            raise error.inside(key) from None
    try:
        least_size(found)
    except Refused:
        raise ExpressionError(f"the values are larger than {MAX_RENDERED_BYTES // 1024} KiB together") from None
    return found


def truthy(value: Any) -> bool:
    """Whether a predicate's value lets the step run: all but null, false, 0 and empty text, list or object does.

    The text "false" is not empty and therefore true: compare with `== "true"` where Clay sends text.
    """
    return bool(value)


def check_syntax(expression: str) -> None:
    """Raises ExpressionError unless `expression` is a bare expression."""
    compile_predicate(expression)


def step_names(expression: str) -> frozenset[Key]:
    """The ids and indices of the steps whose output a bare expression reads. Raises ExpressionError."""
    return compile_predicate(expression).steps


def uses_callback_url(value: Any) -> bool:
    """Whether any text in authored `value` asks for the callback's address. Raises ExpressionError."""
    return any(
        expression.uses_callback_url
        for _, text in string_leaves(value)
        for expression in compile_template(text).expressions
    )


def string_leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The path and the text of every text in `value`, without the keys of objects."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from string_leaves(inner, place_text(path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from string_leaves(inner, f"{path}[{index}]")


def _evaluated(expression: Expression, names: Names) -> Any:
    try:
        return value_of(expression, names.roots)
    except FAILURES as failure:
        raise ExpressionError(_reason(failure), expression=expression.text) from None


def _reason(failure: Exception) -> str:
    # Python's own words would tell of classes, and may quote the values.
    return str(failure) if isinstance(failure, Refused) else f"it cannot be evaluated ({type(failure).__name__})"


class _Allowance:
    """What is left of the bytes that one step's texts may have together, and of the time that they may take."""

    def __init__(self) -> None:
        self.bytes = MAX_RENDERED_BYTES
        self._until = time.thread_time() + MAX_SECONDS

    def check_time(self) -> None:
        """Between expressions; a single one is bounded by its length."""
        if time.thread_time() > self._until:
            raise ExpressionError(f"the expressions of this step take more than {MAX_SECONDS:g} s; use fewer of them")

    def take(self, text: str) -> None:
        # Half of a surrogate pair is refused where data enters; counting it must not fail.
        self.bytes -= len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        if self.bytes < 0:
            raise ExpressionError(f"the rendered parameters are larger than {MAX_RENDERED_BYTES // 1024} KiB")


def _rendered_value(value: Any, names: Names, allowance: _Allowance) -> Any:
    if isinstance(value, str):
        return _rendered(value, names, allowance)
    if isinstance(value, dict):
        return {key: _rendered_under(key, inner, names, allowance) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rendered_under(index, inner, names, allowance) for index, inner in enumerate(value)]
    return value


def _rendered_under(key: Key, value: Any, names: Names, allowance: _Allowance) -> Any:
    try:
        return _rendered_value(value, names, allowance)
    except ExpressionError as error:
        raise error.inside(key) from None


def _rendered(text: str, names: Names, allowance: _Allowance) -> str:
    if OPENING not in text:
        allowance.take(text)
        return text
    parts = []
    for segment in compile_template(text).segments:
        if isinstance(segment, str):
            part = segment
        else:
            allowance.check_time()
            part = _text_of(segment, names)
        allowance.take(part)
        parts.append(part)
    return _with_callback("".join(parts), names)


def _text_of(expression: Expression, names: Names) -> str:
    value = _evaluated(expression, names)
    try:
        return text_of(value)
    except FAILURES as failure:
        raise ExpressionError(_reason(failure), expression=expression.text) from None


def _with_callback(rendered: str, names: Names) -> str:
    if CALLBACK_PLACEHOLDER in rendered:
        raise ExpressionError(
            f"a value holds the text `{CALLBACK_PLACEHOLDER}`, which only the loop's own parameters may ask for"
        )
    return rendered.replace(names.sentinel, names.callback_url)
