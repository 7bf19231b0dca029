"""Foreign text as a page shows it: indented when it is JSON, cut when it is long, with its tricks made visible."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mobius.timespans import measured
from mobius.web.templatetags.console import pretty_json

LONGEST = 20_000
"""Characters. More than that nobody reads on a page, and a browser becomes slow."""

# Marks that turn the direction of the text around them, or that nobody sees: as escapes they trick nobody.
_TRICKS = re.compile("[\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060\u2066-\u2069\ufeff]")


@dataclass(frozen=True, kw_only=True)
class Shown:
    """`text` is what a page shows; `length` is how long it was before it was cut, 0 when it is whole."""

    text: str
    length: int = 0

    @property
    def cut(self) -> bool:
        return self.length > 0

    @property
    def length_words(self) -> str:
        return f"{self.length:,}"

    def __bool__(self) -> bool:
        return bool(self.text)


PURGED = Shown(text="Purged: it was older than this console keeps bodies (MOBIUS_RETENTION_DAYS).")


def shown(value: Any, *, longest: int = LONGEST) -> Shown:
    """JSON, or any text, to look at."""
    return as_it_is(pretty_json(value), longest=longest)


def as_it_is(text: str, *, longest: int = LONGEST) -> Shown:
    """Letter for letter, but for what would play tricks."""
    plain = _TRICKS.sub(lambda found: f"\\u{ord(found[0]):04x}", text[:longest])
    return Shown(text=plain, length=len(text) if len(text) > longest else 0)


def editable(value: Any) -> str:
    """JSON to edit: whole, and with its tricks as JSON escapes."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return _TRICKS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def is_plain(text: str) -> bool:
    """Can it be edited as it is, without anything in it that nobody sees?"""
    return _TRICKS.search(text) is None


def duration(begin: datetime | None, end: datetime | None) -> str:
    """How long it took; empty until it has ended."""
    return measured(end - begin) if begin and end else ""
