"""What the expressions at one place of a loop may read, and the faults of those that read more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from loops.expressions import ExpressionError, compile_predicate, compile_template, string_leaves
from loops.expressions.grammar import MAX_EXPRESSION_LENGTH, Expression
from loops.expressions.tokens import key_text, nearest
from loops.spec.fields import Problems

INPUTS = frozenset({"event", "meta", "config"})
LONGEST_PREDICATE = MAX_EXPRESSION_LENGTH + 10  # with the `${{ }}` that is tolerated around it


@dataclass(frozen=True, kw_only=True)
class Scope:
    """The names that exist at a place: `roots`, and the outputs of the first `before` of the loop's steps."""

    roots: frozenset[str] = INPUTS
    keys: Sequence[str] | None = ()  # every step's key in order; None: they are not known
    before: int = 0
    problems: Problems

    def check_templates(self, value: Any, place: str) -> None:
        """Notes the faults of every `${{ … }}` in `value`."""
        for path, text in string_leaves(value, place):
            try:
                self._check(compile_template(text).expressions, path)
            except ExpressionError as error:
                self.problems.add(path, error.message)

    def check_predicate(self, text: str, place: str) -> None:
        """Notes the faults of a bare expression."""
        try:
            self._check([compile_predicate(text)], place)
        except ExpressionError as error:
            self.problems.add(place, error.message)

    def _check(self, expressions: Iterable[Expression], place: str) -> None:
        for expression in expressions:
            if not self.problems.left:  # guessing what was meant takes long
                return
            foreign = sorted(expression.roots - self.roots)
            sentences = [f"`{name}` cannot be read here; only {', '.join(sorted(self.roots))}." for name in foreign]
            if "steps" not in foreign:
                sentences += [fault for key in sorted(expression.steps, key=str) if (fault := self.fault_of(key))]
            for sentence in sentences:
                self.problems.add(place, f"`{expression.text[:200]}`: {sentence}")

    def fault_of(self, step: str | int) -> str:
        """Why the output of `step` cannot be read here, or ""."""
        if self.keys is None:
            return ""
        known = range(len(self.keys)) if isinstance(step, int) else self.keys
        if step not in known:
            guess = nearest(str(step), self.keys)
            hint = f"did you mean {key_text('steps', guess)}?" if guess else f"known: {', '.join(self.keys) or 'none'}."
            return f"There is no step {key_text('steps', step)}; {hint}"
        index = step if isinstance(step, int) else self.keys.index(step)
        if index < self.before:
            return ""
        where = "is this step itself" if index == self.before else "comes later"
        return f"{key_text('steps', step)} {where}: only the outputs of earlier steps can be read."
