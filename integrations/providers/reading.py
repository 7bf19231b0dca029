"""Reading what a far side answered: a JSON object that can be stored and shown, or nothing."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from .contract import JsonObject

DEEPEST = 32
MOST_VALUES = 10_000
"""The same measures as for what comes in over our own API."""

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # no database keeps NUL, no encoding keeps half a character


def json_object(body: bytes) -> JsonObject | None:
    """The JSON object in `body`. None for text, for other JSON, and for what we could not store: an odd answer to an
    accepted row is no error, there is just no object in it."""
    try:
        answer = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) and storable(answer) else None


def storable(value: Any) -> bool:
    """Is `value` JSON of bounded depth and size, without NaN, NUL and lone surrogates?"""
    waiting, seen = [(value, 1)], 0
    while waiting:
        one, depth = waiting.pop()
        seen += 1
        if depth > DEEPEST or seen > MOST_VALUES or not _plain(one):
            return False
        if isinstance(one, dict):
            waiting += [(key, depth) for key in one] + [(inner, depth + 1) for inner in one.values()]
        elif isinstance(one, list):
            waiting += [(inner, depth + 1) for inner in one]
    return True


def _plain(value: Any) -> bool:
    if isinstance(value, str):
        return _UNSTORABLE.search(value) is None
    return not isinstance(value, float) or math.isfinite(value)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
