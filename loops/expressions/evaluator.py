"""What a parsed expression is worth: look-up by keys, bounded arithmetic, `??`, and the text of a value.

All values are JSON: names hold nothing but parsed JSON, and no function can be named, so nothing can be reached
that is not data.
"""

from __future__ import annotations

import ast
import json
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import simpleeval  # type: ignore[import-untyped]

from loops.expressions.grammar import MAX_NUMBER, Expression, path_text
from loops.expressions.tokens import Refused, key_text, nearest

MAX_TEXT = 256 * 1024  # bytes of UTF-8 for a whole step, characters for one operation

_NOT_PLAIN = object()


class Missing(Refused):
    """A look-up found no such key or entry: `a ?? b` gives b instead."""

    def __init__(self, base: str, container: Any, key: Any) -> None:
        super().__init__(base, container, key)

    def __str__(self) -> str:
        # Only when somebody reads it: looking for a similar key costs a thousand times what the look-up did.
        return _why_missing(*self.args)


def value_of(expression: Expression, roots: Mapping[str, Any]) -> Any:
    """The JSON value of `expression`. Raises Refused, or what Python raises on nonsense (see FAILURES)."""
    if expression.path is not None:
        value = _followed(expression.path, roots)
        if value is not _NOT_PLAIN:
            return value
    return value_of_tree(expression.tree, roots)


FAILURES = (
    simpleeval.InvalidExpression,
    *(TypeError, ValueError, LookupError, ArithmeticError, RecursionError, MemoryError),
)
"""Everything that evaluating, or writing a value as text, can raise."""


def text_of(value: Any) -> str:
    """The text that stands in a rendered parameter for `value`: "" for null, JSON for all but text.

    Raises Refused when that would be more than MAX_TEXT.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list | dict):
        least_size(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def least_size(value: Any) -> int:
    """How many characters the JSON of `value` has at least; found without writing it, for an expression may name the
    whole event a hundred times. Raises Refused beyond MAX_TEXT.
    """
    size, waiting = 0, [value]
    while waiting:
        one = waiting.pop()
        size += len(one) + (2 if isinstance(one, str) else 1) if isinstance(one, str | list | dict) else 1
        if size > MAX_TEXT:
            raise Refused(f"it gives more than {MAX_TEXT // 1024} KiB")
        if isinstance(one, dict):
            waiting += one.keys()
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return size


def _followed(path: tuple[Any, ...], roots: Mapping[str, Any]) -> Any:
    """What lies at `path`, or _NOT_PLAIN when the evaluator shall look, and name the problem if there is one."""
    value: Any = roots
    for key in path:
        if type(value) is dict:
            value = value.get(key, _NOT_PLAIN)
            if value is _NOT_PLAIN:
                return _NOT_PLAIN
        elif type(value) is list and type(key) is int and key < len(value):
            value = value[key]
        else:
            return _NOT_PLAIN
    return value


def value_of_tree(tree: ast.expr, roots: Mapping[str, Any]) -> Any:
    """As `value_of`, by the evaluator alone, without the short cut for plain look-ups."""
    return _Evaluator(roots)._eval(tree)


class _Evaluator(simpleeval.SimpleEval):  # type: ignore[misc]
    """simpleeval, narrowed: no functions, no attributes, look-up in objects and lists only.

    Its constructor is not called: that copies tables and resets warnings for the whole process, in every thread,
    at each evaluation.
    """

    def __init__(self, roots: Mapping[str, Any]) -> None:
        self.names = roots
        self.functions: dict[str, Any] = {}
        self.operators = _OPERATORS
        self.expr = ""

    def _eval(self, node: ast.AST) -> Any:
        # simpleeval would also walk every value, the whole event included, in search of functions: JSON has none.
        return _HANDLERS[type(node)](self, node)

    def _eval_binop(self, node: ast.BinOp) -> Any:
        if not isinstance(node.op, ast.MatMult):
            return super()._eval_binop(node)
        try:
            value = self._eval(node.left)
        except Missing:
            value = None
        return self._eval(node.right) if value is None else value

    def _eval_subscript(self, node: ast.Subscript) -> Any:
        container, key = self._eval(node.value), self._eval(node.slice)
        if isinstance(container, dict) and type(key) in (str, int) and key in container:
            return container[key]
        if isinstance(container, list) and type(key) is int and -len(container) <= key < len(container):
            return container[key]
        raise Missing(path_text(node.value), container, key)

    def _eval_list(self, node: ast.List | ast.Tuple) -> list[Any]:
        return [self._eval(element) for element in node.elts]

    def _eval_dict(self, node: ast.Dict) -> dict[str, Any]:
        found = {}
        for key_node, value_node in zip(node.keys, node.values, strict=True):
            key = self._eval(key_node) if key_node else None
            if not isinstance(key, str):
                raise Refused(f"the key of an object must be text, not {_kind(key)}")
            found[key] = self._eval(value_node)
        return found


_HANDLERS: dict[type[ast.AST], Callable[[_Evaluator, Any], Any]] = {
    ast.Constant: lambda _, node: node.value,
    ast.Name: lambda evaluator, node: evaluator.names[node.id],
    ast.Subscript: _Evaluator._eval_subscript,
    ast.List: _Evaluator._eval_list,
    ast.Tuple: _Evaluator._eval_list,
    ast.Dict: _Evaluator._eval_dict,
    ast.BoolOp: _Evaluator._eval_boolop,
    ast.UnaryOp: _Evaluator._eval_unaryop,
    ast.BinOp: _Evaluator._eval_binop,
    ast.Compare: _Evaluator._eval_compare,
    ast.IfExp: _Evaluator._eval_ifexp,
}


def _why_missing(base: str, container: Any, key: Any) -> str:
    if base == "steps":
        return f"{key_text(base, key)} has no output: the step was skipped, or has not completed"
    if isinstance(container, list):
        if type(key) is int:
            return f"{base} has {len(container)} entries, none at [{key}]"
        return f"{base} is a list; write {base}[0] for its first entry"
    if not isinstance(container, dict):
        return f"{base} is {_kind(container)} and holds no keys"
    if not isinstance(key, str):
        return f"{base} is an object; its keys are text, not {_kind(key)}"
    known = [name for name in container if isinstance(name, str)]
    guess = nearest(key, known)
    hint = f"did you mean {key_text(base, guess)}?" if guess else f"it holds {_enumerated(known)}"
    return f"{key_text(base, key[:80])} does not exist; {hint}"


def _enumerated(names: list[str]) -> str:
    shown = ", ".join(name[:40] for name in names[:8])
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown or "nothing"


def _kind(value: Any) -> str:
    kinds = {type(None): "null", bool: "true or false", str: "text", list: "a list", dict: "an object"}
    return kinds.get(type(value), "a number")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _arithmetic(symbol: str, operate: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def bounded(left: Any, right: Any) -> Any:
        if not (_is_number(left) and _is_number(right)):
            raise Refused(f"`{symbol}` needs two numbers, not {_kind(left)} and {_kind(right)}")
        if symbol == "/" and right == 0:
            raise Refused("it divides by zero")
        result = operate(left, right)
        if not math.isfinite(result) or abs(result) > MAX_NUMBER:
            raise Refused(f"`{symbol}` gives a number that is too large")
        return result

    return bounded


def _added(left: Any, right: Any) -> Any:
    if not (isinstance(left, str) and isinstance(right, str)):
        return _ADDED_NUMBERS(left, right)
    if len(left) + len(right) > MAX_TEXT:
        raise Refused(f"`+` gives a text of more than {MAX_TEXT} characters")
    return left + right


def _ordered(symbol: str, compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compared(left: Any, right: Any) -> bool:
        if (_is_number(left) and _is_number(right)) or (isinstance(left, str) and isinstance(right, str)):
            return compare(left, right)
        raise Refused(f"`{symbol}` needs two numbers or two texts, not {_kind(left)} and {_kind(right)}")

    return compared


def _contained(item: Any, container: Any) -> bool:
    if isinstance(container, list):
        return item in container
    if isinstance(container, str | dict) and isinstance(item, str):
        return item in container
    raise Refused(f"`in` cannot look for {_kind(item)} in {_kind(container)}")


def _signed(symbol: str, operate: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def signed(value: Any) -> Any:
        if not _is_number(value):
            raise Refused(f"`{symbol}` needs a number, not {_kind(value)}")
        return operate(value)

    return signed


_ADDED_NUMBERS = _arithmetic("+", operator.add)
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: _added,
    ast.Sub: _arithmetic("-", operator.sub),
    ast.Mult: _arithmetic("*", operator.mul),
    ast.Div: _arithmetic("/", operator.truediv),
    ast.USub: _signed("-", operator.neg),
    ast.UAdd: _signed("+", operator.pos),
    ast.Not: operator.not_,
    ast.Invert: operator.not_,  # `!` is rewritten to `~`, which binds as tightly; `~` itself cannot be written
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: _ordered("<", operator.lt),
    ast.LtE: _ordered("<=", operator.le),
    ast.Gt: _ordered(">", operator.gt),
    ast.GtE: _ordered(">=", operator.ge),
    ast.In: _contained,
    ast.NotIn: lambda item, container: not _contained(item, container),
}
