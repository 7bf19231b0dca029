"""The tokens of an expression, already in Python's spelling, and the names and messages that go with them.

Every character of an expression passes here, so Python's parser only ever sees what is built from these tokens.
"""

from __future__ import annotations

import difflib
import json
import keyword
import re
from collections.abc import Iterable, Iterator

import simpleeval  # type: ignore[import-untyped]

ROOTS = ("event", "meta", "config", "steps", "callback")
NOT_CALLABLE = "functions and methods cannot be called"

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<number>(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<name>[^\W\d]\w*)
      | (?P<foreign>\*\*|//|<<|>>)
      | (?P<operator>&&|\|\||\?\?|==|!=|<=|>=|[-+*/<>!?:.,()\[\]{}])
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_WORDS = {"true": "True", "false": "False", "null": "None", "nil": "None", "&&": "and", "||": "or", "!": "~"}
_WORDS |= {word: word for word in ("True", "False", "None", "and", "or", "not", "in", "if", "else")}
_INSTEAD = {"=": "==", "&": "&&", "|": "||", "~": "!", "@": "??", "is": "==", "'": "a closing '", '"': 'a closing "'}
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"} | {c: c for c in "\"'\\/"}

Key = str | int


class Refused(simpleeval.InvalidExpression):  # type: ignore[misc]
    """The expression cannot be parsed or evaluated; whoever knows the place makes an ExpressionError of it."""


def tokens(text: str) -> Iterator[str]:
    """The tokens of `text` as Python writes them; a key after a dot comes as one token, `['key']`. Raises Refused."""
    after_dot, spelt = False, ""
    for match in _TOKEN.finditer(text):
        kind, part = str(match.lastgroup), match.group()
        if kind == "space":
            continue
        if after_dot and kind != "name":
            raise Refused(f"`.` is followed by `{part}`, which is no name")
        if part.startswith(".") and kind == "number" and _ends_operand(spelt):
            raise Refused(f"`{part}` is no key; an entry of a list is written `[{part[1:]}]`")
        if part == "." and not _ends_operand(spelt):
            raise Refused("there is nothing before a `.`")
        if part != ".":
            spelt = _key(text, match) if after_dot else _spelt(kind, text, match)
            yield spelt
        after_dot = part == "."
    if after_dot:
        raise Refused("it ends in a `.`")


def _spelt(kind: str, text: str, match: re.Match[str]) -> str:
    part = match.group()
    if kind == "name":
        return _word(text, match)
    if kind == "text":
        return repr(_unquoted(part))
    if kind in ("foreign", "other"):
        raise Refused(f"{json.dumps(part)} is not part of the language" + _instead(part))
    return _WORDS.get(part, part)


def _instead(part: str) -> str:
    return f"; write {_INSTEAD[part]}" if part in _INSTEAD else ""


def _ends_operand(spelt: str) -> bool:
    # Without this, a key after nothing would become a list: `.email` and `["email"]` are the same to Python.
    return spelt not in ("", "and", "or", "not", "in", "if", "else") and spelt[-1] not in "=<>+-*/~?:,([{"


def _key(text: str, match: re.Match[str]) -> str:
    """The Python for a name after a dot: an index, for which no name is reserved."""
    name, rest = match.group(), text[match.end() :]
    dashed = re.match(r"(?:-\w+)+", rest)
    # `event.total-event.fee` is a subtraction; `event.first-name` cannot be one, since `name` names nothing.
    if dashed and (re.search(r"\bsteps\s*\.\s*$", text[: match.start()]) or not _could_subtract(dashed.group())):
        name += dashed.group()
    elif not keyword.iskeyword(name):
        return f"[{name!r}]"
    base = re.search(r"[\w.]*$", text[: match.start()].rstrip()[:-1].rstrip())
    raise Refused(f'`{name}` is no plain name; write {base.group() if base else ""}["{name}"]')


def _could_subtract(dashed: str) -> bool:
    first = dashed[1:].partition("-")[0]
    return first[0].isdigit() or first in ROOTS


def _word(text: str, match: re.Match[str]) -> str:
    word, rest = match.group(), text[match.end() :]
    if word in _WORDS:
        return _WORDS[word]
    if rest[:1] in ('"', "'"):
        raise Refused(f"a text cannot have the prefix `{word}`")
    if word in ROOTS:
        return word
    if rest.lstrip().startswith("("):
        raise Refused(f"`{word}(…)`: {NOT_CALLABLE}")
    if word in _INSTEAD or keyword.iskeyword(word):
        raise Refused(f"`{word}` is not part of the language" + _instead(word))
    guess = nearest(word, ROOTS)
    raise Refused(f"`{word}` is not known; " + (f"did you mean `{guess}`?" if guess else f"known: {', '.join(ROOTS)}"))


def _unquoted(token: str) -> str:
    """The text that a token in quotes stands for, with JSON's escapes and `\\'`."""

    def unescaped(match: re.Match[str]) -> str:
        code, letter = match.group(1), match.group(2)
        if code:
            return chr(int(code, 16))
        if letter not in _ESCAPES:
            raise Refused(f"`\\{letter}` means nothing in a text; write `\\\\` for a backslash")
        return _ESCAPES[letter]

    text = re.sub(r"\\(?:u([0-9a-fA-F]{4})|(.))", unescaped, token[1:-1], flags=re.DOTALL)
    try:
        text = text.encode("utf-16", "surrogatepass").decode("utf-16")  # joins the halves of a pair
    except UnicodeDecodeError:
        raise Refused("a text holds half of a surrogate pair") from None
    if "\0" in text:
        raise Refused("a text holds the null character")
    return text


def place_text(base: str, key: Key) -> str:
    """The place of `key` in the JSON at `base`: `payload.email`, `payload["First Name"]`, `rows[0]`."""
    if isinstance(key, str) and key.isidentifier():
        return f"{base}.{key}" if base else key
    return f"{base}[{json.dumps(key[:80] if isinstance(key, str) else key, ensure_ascii=False)}]"


def key_text(base: str, key: Key) -> str:
    """`key` looked up in `base`, as an expression can say it."""
    return f'{base}["{key}"]' if isinstance(key, str) and keyword.iskeyword(key) else place_text(base, key)


def nearest(word: str, known: Iterable[str]) -> str:
    """The one of `known` that `word` may be a misspelling of, or ""."""
    # difflib's cost grows with the square of the lengths, and keys come from outside.
    candidates = [name for name, _ in zip(known, range(500), strict=False) if len(name) <= 64]
    return next(iter(difflib.get_close_matches(word[:64], candidates, n=1)), "")
