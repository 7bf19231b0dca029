"""Which column goes where: into the row under a key, into `request_id`, into `external_id`, or nowhere."""

from __future__ import annotations

from collections.abc import Mapping as Given
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from loops.pushing.reading import LONGEST_COLUMN, TOLD, Content
from mobius.api.parsing import quoted
from mobius.errors import InvalidFields

JsonObject = dict[str, Any]
_IDS = ("request_id", "external_id")


@dataclass(frozen=True, kw_only=True)
class Mapping:
    """`keys` has the key of each column that is sent, in the order of the columns; the two others name a column."""

    keys: dict[str, str]
    request_id: str = ""
    external_id: str = ""

    @classmethod
    def usual(cls, columns: list[str]) -> Mapping:
        """Every column under its own name; the ids from the columns that are named like them."""
        ids = {name: name for name in _IDS if name in columns}
        return cls(keys={column: column for column in columns if column not in TOLD}, **ids)

    @classmethod
    def stored(cls, mapping: JsonObject) -> Mapping:
        return cls(keys=dict(mapping["keys"]), request_id=mapping["request_id"], external_id=mapping["external_id"])

    def as_json(self) -> JsonObject:
        # Pairs: a database may give an object back in another order.
        return {"keys": list(self.keys.items()), "request_id": self.request_id, "external_id": self.external_id}

    def event(self, content: Content, columns: list[str]) -> JsonObject:
        """What the run of a row is started with."""
        given = dict(zip(columns, content, strict=True)) if isinstance(content, list) else content
        row = {key: given[column] for column, key in self.keys.items() if column in given}
        ids = {name: _text(given.get(getattr(self, name))) for name in _IDS}
        return {"row": _in_order(row)} | ids


def read_mapping(columns: list[str], keys: Given[str, str | None], *, request_id: str, external_id: str) -> Mapping:
    """The mapping that somebody wants: `keys` names what differs from the usual, "" or None leaves a column out.

    Raises InvalidFields.
    """
    problems: dict[str, list[str]] = {}
    for column in keys:
        if column not in columns:
            problems[f"keys.{quoted(column)[1:-1]}"] = [f"There is no such column. There is: {_list(columns)}."]
    wanted = Mapping.usual(columns).keys | {column: (key or "").strip() for column, key in keys.items()}
    kept = {column: wanted[column] for column in columns if wanted.get(column)}
    for column, key in kept.items():
        if fault := _fault(key, column, kept):
            problems[f"keys.{column}"] = [fault]
    for name, column in (("request_id", request_id), ("external_id", external_id)):
        if fault := _fault_of_id(name, column, columns, kept):
            problems[name] = [fault]
    if not kept and not problems:
        problems["keys"] = ["Every column is left out, so there is nothing to send."]
    if problems:
        raise InvalidFields(problems)
    return Mapping(keys=kept, request_id=request_id, external_id=external_id)


def _fault(key: str, column: str, kept: dict[str, str]) -> str:
    if len(key) > LONGEST_COLUMN or "\x00" in key:
        return f"A key has at most {LONGEST_COLUMN} characters, and no NUL."
    other = next((name for name, taken in kept.items() if taken == key and name != column), "")
    return f"The column {quoted(other)} is sent as {quoted(key)} already; give each a key of its own." if other else ""


def _fault_of_id(name: str, column: str, columns: list[str], kept: dict[str, str]) -> str:
    if not column:
        return ""
    if column not in columns:
        return f"There is no column {quoted(column)}. There is: {_list(columns)}."
    # The row's own key wins over the parameter (founding document), so they must not differ.
    other = next((one for one, key in kept.items() if key == name and one != column), "")
    return f"The column {quoted(other)} is sent under the key {name}; leave it out, or choose it here." if other else ""


def _list(columns: list[str]) -> str:
    shown = ", ".join(map(quoted, columns[:10]))
    return f"{shown} and {len(columns) - 10} more" if len(columns) > 10 else shown


def _text(value: Any) -> str:
    """An id of a cell: only text and whole numbers can identify."""
    return "" if isinstance(value, bool) or not isinstance(value, str | int) else str(value).strip()


def _in_order(value: Any) -> Any:
    """With the keys of objects in one order, that of PostgreSQL's: the same row is the same to the ledger whatever the
    order of its columns, and the dry run sees what will be sent."""
    if isinstance(value, dict):
        return {key: _in_order(value[key]) for key in _order(tuple(value))}
    return [_in_order(one) for one in value] if isinstance(value, list) else value


@lru_cache(maxsize=256)
def _order(keys: tuple[str, ...]) -> list[str]:
    """The rows of a file have the same keys, nearly all of them."""
    return sorted(keys, key=lambda key: (len(key.encode()), key.encode()))
