"""How a far side calls us for each of its rows, field by field of its own form, as data for a page to draw."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Column:
    """A place that the far side fills with the row's value of the column `name`."""

    name: str
    prefix: str = ""  # fixed text before the value, such as `clay:`
    quoted: bool = True  # in JSON: as text; else as whatever the value is

    @property
    def unfilled(self) -> str:
        """What stands in a text that is copied: it says what belongs there, and is found out when it arrives."""
        return f"{{{{{self.name}}}}}"


Pieces = tuple[str | Column, ...]


@dataclass(frozen=True, kw_only=True)
class Call:
    """A POST to us that the far side is to make for each of its rows."""

    url: str | Column
    body: Mapping[str, Any]  # JSON in which a Column stands wherever a value of the row belongs
    needs_key: bool
    per_second: int | None  # as many as we take of one key in the long run; None: as many as come


@dataclass(frozen=True, kw_only=True)
class Block:
    """One field of the far side's form."""

    label: str  # as the form calls it
    pieces: Pieces
    hint: str = ""
    is_code: bool = False  # of several lines

    @property
    def columns(self) -> list[Column]:
        return [piece for piece in self.pieces if isinstance(piece, Column)]

    @property
    def copied(self) -> str:
        """The whole as text; "" when there is nothing in it but what must be picked."""
        if len(self.pieces) == len(self.columns):
            return ""
        return "".join(piece if isinstance(piece, str) else piece.unfilled for piece in self.pieces)


@dataclass(frozen=True, kw_only=True)
class HeaderAccount:
    """Where the far side keeps the header that opens our door."""

    clicks: tuple[str, ...]
    name: str
    prefix: str  # of the header's value, before the key


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a person sets in the far side's form, in the order of the form."""

    clicks: tuple[str, ...]  # which lead to the form
    account: HeaderAccount | None  # None: no header is needed
    blocks: tuple[Block, ...]

    def block(self, label: str) -> Block:
        return next(block for block in self.blocks if block.label == label)


@dataclass(frozen=True, kw_only=True)
class RecipeBook:
    """What a provider that can call us knows about its own form."""

    row_field: str  # the member of an event that tells which row it came from
    row_column: str  # the column that tells rows apart
    how_to_insert: str  # in a few words, before the column's name: "type / and pick"
    trap: str  # what goes wrong when a value is typed instead
    limits: tuple[str, ...]
    answer_costs: str  # what one answer of a row uses up, in a sentence
    column_named: Callable[[str], str]  # what a column with this field's value is probably called
    write: Callable[[Call], Recipe]


def json_pieces(value: Any, indent: int = 0) -> Pieces:
    """JSON with its columns, indented; a quoted column stands between quotation marks."""
    return tuple(_joined(_pieces(value, indent)))


def _pieces(value: Any, indent: int) -> Iterator[str | Column]:
    if isinstance(value, Column):
        # The prefix is fixed text of ours, so it is escaped as JSON is.
        yield from (f'"{json.dumps(value.prefix)[1:-1]}', value, '"') if value.quoted else (value,)
    elif isinstance(value, Mapping) and value:
        inner = "  " * (indent + 1)
        for number, (name, member) in enumerate(value.items()):
            opening = "," if number else "{"
            yield f"{opening}\n{inner}{json.dumps(name, ensure_ascii=False)}: "
            yield from _pieces(member, indent + 1)
        yield "\n" + "  " * indent + "}"
    else:
        yield json.dumps(dict(value) if isinstance(value, Mapping) else value, ensure_ascii=False)


def _joined(pieces: Iterator[str | Column]) -> Iterator[str | Column]:
    """Neighbouring texts as one."""
    text = ""
    for piece in pieces:
        if isinstance(piece, str):
            text += piece
            continue
        yield from (text, piece) if text else (piece,)
        text = ""
    if text:
        yield text
