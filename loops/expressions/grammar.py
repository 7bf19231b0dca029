"""From an expression's text to a checked syntax tree: rewriting to Python's grammar, and what is refused.

Precedence, from loose to tight: `? :` and `if else`, `??`, `or ||`, `and &&`, `not`, comparisons and `in`, `+ -`,
`* /`, `!` and sign, look-up.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from loops.expressions.tokens import NOT_CALLABLE, Key, Refused, key_text, tokens

MAX_EXPRESSION_LENGTH = 1000  # characters
MAX_NUMBER = 2**63  # what databases, and whoever reads the rows, can hold
_MAX_BRACKETS = 20
_MAX_DEPTH = 100  # of the syntax tree: evaluating uses two Python frames a level

_CLOSERS = {"(": ")", "[": "]", "{": "}"}
_STOPPERS = {"?", "??", ":", ",", "if", "else", ")", "]", "}"}
_ALLOWED_NODES = (
    *(ast.Constant, ast.Name, ast.Load, ast.Subscript, ast.List, ast.Tuple, ast.Dict, ast.IfExp),
    *(ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.UAdd, ast.Invert),
    *(ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.MatMult),
    *(ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn),
)
_REFUSALS = {ast.Call: NOT_CALLABLE, ast.Slice: "parts of a list cannot be taken"}


@dataclass(frozen=True, kw_only=True)
class Expression:
    """A parsed expression that holds nothing but what the language has."""

    text: str
    tree: ast.expr
    path: tuple[Key, ...] | None  # ("event", "email") when it is nothing but a look-up by fixed keys
    roots: frozenset[str]
    steps: frozenset[Key]  # the ids and indices of steps whose output it reads

    @property
    def uses_callback_url(self) -> bool:
        return "callback" in self.roots

    @property
    def reads(self) -> list[tuple[Key, ...]]:
        """What it looks up, each as far as its keys are fixed: `("event", "company", "domain")`."""
        return list(_fixed_paths(self.tree))


def parse(text: str) -> Expression:
    """The expression that `text`, without `${{ }}` around it, spells. Raises Refused."""
    text = text.strip()
    if not text:
        raise Refused("there is nothing between `${{` and `}}`")
    if len(text) > MAX_EXPRESSION_LENGTH:
        raise Refused(f"it is longer than {MAX_EXPRESSION_LENGTH} characters")
    try:
        tree = ast.parse(_Rewriter(list(tokens(text))).rewrite(), mode="eval").body
    except SyntaxError as error:
        raise Refused(f"it is not a valid expression ({error.msg})") from None
    except (ValueError, OverflowError, MemoryError, RecursionError) as error:
        raise Refused(f"it is not a valid expression ({type(error).__name__})") from None
    nodes = list(_checked_nodes(tree))
    return Expression(
        text=text,
        tree=tree,
        path=_fixed_path(tree),
        roots=frozenset(node.id for node in nodes if isinstance(node, ast.Name)),
        steps=frozenset(_step_references(nodes)),
    )


def path_text(node: ast.expr) -> str:
    """How an author writes the look-up that `node` is: `event.company`, `event["from"]`, `event.list[…]`."""
    if isinstance(node, ast.Name):
        return node.id
    if not isinstance(node, ast.Subscript):
        return "(…)"
    key = node.slice.value if isinstance(node.slice, ast.Constant) else None
    return key_text(path_text(node.value), key) if isinstance(key, str | int) else f"{path_text(node.value)}[…]"


class _Rewriter:
    """Turns tokens into the text of a Python expression; knows only brackets, `? :`, `if else`, `??`, `,` and `:`."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens[::-1]
        self._brackets = 0

    def rewrite(self) -> str:
        text = self._conditional()
        if self._tokens:
            raise Refused(f"`{self._tokens[-1]}` is not expected where it stands")
        return text

    def _took(self, token: str) -> bool:
        found = bool(self._tokens) and self._tokens[-1] == token
        if found:
            self._tokens.pop()
        return found

    def _conditional(self) -> str:
        value = self._coalesced()
        if self._took("?"):
            then = self._conditional()
            if not self._took(":"):
                raise Refused("a `?` has no `:` after it")
            return f"(({then}) if ({value}) else ({self._conditional()}))"
        if self._took("if"):
            test = self._coalesced()
            if not self._took("else"):
                raise Refused("an `if` has no `else` after it")
            return f"(({value}) if ({test}) else ({self._conditional()}))"
        return value

    def _coalesced(self) -> str:
        operands = [self._operand()]
        while self._took("??"):
            operands.append(self._operand())
        # `@` binds from the left and cannot be written by an author: it stands for `??`.
        return f"(({') @ ('.join(operands)}))" if len(operands) > 1 else operands[0]

    def _operand(self) -> str:
        parts = []
        while self._tokens and self._tokens[-1] not in _STOPPERS:
            token = self._tokens.pop()
            parts.append(self._bracket(token) if token in _CLOSERS else token)
        if not parts:
            raise Refused(f"something is missing before `{self._tokens[-1]}`" if self._tokens else "it is not complete")
        return " ".join(parts)

    def _bracket(self, opener: str) -> str:
        self._brackets += 1
        if self._brackets > _MAX_BRACKETS:
            raise Refused(f"it has more than {_MAX_BRACKETS} pairs of brackets inside each other")
        parts = [opener]
        while not self._took(_CLOSERS[opener]):
            if not self._tokens or self._tokens[-1] in _CLOSERS.values():
                raise Refused(f"`{opener}` is not closed")
            separator = self._tokens[-1] in (",", ":")
            parts.append(self._tokens.pop() if separator else self._conditional())
        self._brackets -= 1
        return " ".join([*parts, _CLOSERS[opener]])


def _checked_nodes(tree: ast.expr) -> Iterator[ast.AST]:
    waiting: list[tuple[ast.AST, int]] = [(tree, 1)]
    while waiting:
        node, depth = waiting.pop()
        if not isinstance(node, _ALLOWED_NODES):
            raise Refused(_REFUSALS.get(type(node), f"{type(node).__name__} is not part of the language"))
        if depth > _MAX_DEPTH:
            raise Refused("it is nested too deeply")
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and node.value > MAX_NUMBER:
            raise Refused("it holds a number that is too large")
        yield node
        waiting += [(child, depth + 1) for child in ast.iter_child_nodes(node)]


def _fixed_path(node: ast.expr) -> tuple[Key, ...] | None:
    keys: list[Key] = []
    while isinstance(node, ast.Subscript):
        # `type`, not `isinstance`: True is an int to Python, but no index.
        if not isinstance(node.slice, ast.Constant) or type(node.slice.value) not in (str, int):
            return None
        keys.append(node.slice.value)  # type: ignore[arg-type]
        node = node.value
    return (node.id, *reversed(keys)) if isinstance(node, ast.Name) else None


def _fixed_paths(node: ast.AST) -> Iterator[tuple[Key, ...]]:
    path = _fixed_path(node) if isinstance(node, ast.Subscript) else None
    if path:
        yield path
        return
    for child in ast.iter_child_nodes(node):
        yield from _fixed_paths(child)


def _step_references(nodes: list[ast.AST]) -> Iterator[Key]:
    """The steps read; refuses every use of `steps` and `callback` that could not be judged when a loop is saved."""
    read = 0
    for node in nodes:
        path = _fixed_path(node) if isinstance(node, ast.Subscript) else None
        if path and path[0] == "steps" and len(path) == 3 and path[2] == "output":
            yield path[1]
            read += 1
        read += path == ("callback", "url")
    if read != sum(isinstance(node, ast.Name) and node.id in ("steps", "callback") for node in nodes):
        raise Refused(
            'of `steps` only `steps.<id>.output` (or `steps["<id>"].output`, `steps[0].output`) can be read, '
            "and of `callback` only `callback.url`"
        )
