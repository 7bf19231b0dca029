"""Finding what Clay sends when a column's value was not inserted: the placeholder itself.

Text typed into Clay's HTTP API column, instead of a chip picked with `/`, goes out literally: every row then sends
the same. An empty chip leaves an empty tail or `null`, a chip used as a formula may leave `[object Object]`.
"""

from __future__ import annotations

import re
from typing import Any

from loops.expressions.tokens import place_text

MAX_REPORTED = 50  # more paths than that help nobody

_BRACES = re.compile(r"\{\{[^{}]*\}\}")
# A typed `/Company Domain` is the whole value, and Clay's columns begin with a capital; `/pricing` is a path.
_TYPED_NAME = re.compile(r"/[A-Z][^/\n]{0,99}")
# After its prefix a key must tell rows apart, so there any letter counts, and so does nothing, or null, at the end.
_TAIL_OF_KEY = re.compile(r"(?:^|[:|#\s])\s*(?:/[A-Za-z][^/]*|null|undefined|None|NaN)?\s*$")
_OBJECT = "[object Object]"


def unfilled(event: Any) -> list[str]:
    """The paths in `event`, such as `company.domain`, whose text looks like an unfilled placeholder of Clay's.

    Keys of objects are not looked at. At most 50 paths. `event` is JSON of bounded depth, as our API takes it.
    """
    found: list[str] = []
    _collect(event, "", found)
    return found[:MAX_REPORTED]


def key_is_unfilled(key: str) -> bool:
    """Whether an idempotency key, such as `clay:{{Clay Row ID}}` or `clay:`, would be the same for every row."""
    return _OBJECT in key or _BRACES.search(key) is not None or (key != "" and _TAIL_OF_KEY.search(key) is not None)


def _collect(value: Any, path: str, found: list[str]) -> None:
    if isinstance(value, str):
        if _is_placeholder(value):
            found.append(path)
    elif isinstance(value, dict):
        for key, inner in value.items():
            # The path of a usual value is not needed, and costs more than the look at it.
            if isinstance(inner, dict | list) or (isinstance(inner, str) and _is_placeholder(inner)):
                _collect(inner, place_text(path, key), found)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            if isinstance(inner, dict | list | str):
                _collect(inner, f"{path}[{index}]", found)


def _is_placeholder(text: str) -> bool:
    if "{{" in text and _BRACES.search(text):
        return True
    return (text[:1] == "/" and _TYPED_NAME.fullmatch(text) is not None) or _OBJECT in text
