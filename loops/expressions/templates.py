"""Texts with `${{ … }}` in them, parsed once and kept; and the error that every fault of an expression becomes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from loops.expressions.grammar import Expression, parse
from loops.expressions.tokens import Key, Refused, place_text
from mobius.errors import MobiusError

OPENING = "${{"
_MAX_SHOWN = 1000  # of a faulty text
_MAX_CACHED_LENGTH = 4096  # longer texts are rare, and a thousand of them would fill the memory
# Inside an expression: a text in quotes, a brace, or anything else up to the next of those.
_INSIDE = re.compile(
    r"""(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<brace>[{}])|(?P<other>[^"'{}]+)""", re.DOTALL
)


class ExpressionError(MobiusError):
    """An expression cannot be parsed or evaluated; the message names the expression and its place."""

    code = "expression_error"

    def __init__(self, problem: str, *, expression: str = "", path: str = "") -> None:
        self.problem, self.expression, self.path = problem, expression[:_MAX_SHOWN], path
        shown = f"`{expression[:200]}`" if expression else ""
        place = " ".join(part for part in (path, shown) if part)
        details = {"expression": self.expression, "path": path}
        super().__init__(
            f"{place}: {problem}" if place else problem,
            details={name: value for name, value in details.items() if value},
        )

    def inside(self, key: Key) -> ExpressionError:
        """The same error, seen from the object or list that holds the place under `key`."""
        outer = place_text("", key)
        path = outer if not self.path else f"{outer}{'' if self.path.startswith('[') else '.'}{self.path}"
        return ExpressionError(self.problem, expression=self.expression, path=path)


@dataclass(frozen=True)
class Template:
    """A text and the expressions in it, in order."""

    segments: tuple[str | Expression, ...]

    @property
    def expressions(self) -> tuple[Expression, ...]:
        return tuple(segment for segment in self.segments if isinstance(segment, Expression))


@lru_cache(maxsize=1024)
def compile_predicate(text: str) -> Expression:
    """The one bare expression in `text`, around which `${{ }}` is tolerated. Raises ExpressionError."""
    if not text.strip().startswith(OPENING):
        return _parsed(text)
    match compile_template(text.strip()).segments:
        case (Expression() as expression,):
            return expression
    raise ExpressionError("write one expression, without text around it", expression=text.strip())


def compile_template(text: str) -> Template:
    """The texts and parsed expressions of `text`. Raises ExpressionError, also for a `${{` that is not closed."""
    return _cached_template(text) if len(text) <= _MAX_CACHED_LENGTH else _new_template(text)


def _new_template(text: str) -> Template:
    segments: list[str | Expression] = []
    position = 0
    while (start := text.find(OPENING, position)) >= 0:
        end = _closing(text, start + len(OPENING))
        segments += [text[position:start], _parsed(text[start + len(OPENING) : end])]
        position = end + 2
    segments.append(text[position:])
    return Template(tuple(segment for segment in segments if segment != ""))


_cached_template = lru_cache(maxsize=1024)(_new_template)


def _closing(text: str, start: int) -> int:
    """Where the `}}` stands that closes the expression from `start` on; braces and quotes inside it are skipped."""
    depth, position = 0, start
    while match := _INSIDE.match(text, position):
        if match.lastgroup == "brace" and match.group() == "{":
            depth += 1
        elif match.lastgroup == "brace":
            if depth == 0 and text.startswith("}}", position):
                return position
            depth -= 1
        if depth < 0:
            break
        position = match.end()
    raise ExpressionError("`${{` is not closed by `}}`", expression=text[start - len(OPENING) :][:80])


def _parsed(text: str) -> Expression:
    try:
        return parse(text)
    except Refused as refusal:
        raise ExpressionError(str(refusal), expression=text.strip()) from None
