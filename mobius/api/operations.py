"""What a description says of one method at one address. Who may call it, and what every call can be refused for, is
not repeated here: `mobius.openapi` knows it from the view itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rest_framework.serializers import BaseSerializer

from mobius.api.downloads import FORMATS
from mobius.api.pagination import DEFAULT_LIMIT, MAX_LIMIT
from mobius.api.shapes import Schema, Shape, closed, text
from mobius.errors import MobiusError


@dataclass(frozen=True, kw_only=True)
class Body:
    """A JSON request. `example` is a request that the product takes."""

    shape: Shape | type[BaseSerializer[Any]]
    example: Any
    required: bool = True


NOTHING = Body(shape=closed({}), example={}, required=False)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A success. No shape: no body."""

    shape: Shape | None = None
    media_type: str = "application/json"
    also: Mapping[str, Shape] = field(default_factory=dict)  # by media type
    says: str = ""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One method at one address."""

    id: str  # the contract's name for it, where it has one
    summary: str
    answers: Mapping[int, Answer]
    description: str = ""
    body: Body | None = None
    path: Mapping[str, Schema] = field(default_factory=dict)  # placeholders that are not any text
    query: Mapping[str, Schema] = field(default_factory=dict)
    headers: Mapping[str, Schema] = field(default_factory=dict)
    refuses: tuple[type[MobiusError], ...] = ()  # beyond what every address of its kind refuses
    public: bool = False  # the address itself is the authentication


def done() -> Mapping[int, Answer]:
    return {204: Answer(says="Done.")}


def ok(shape: Shape) -> Mapping[int, Answer]:
    return {200: Answer(shape=shape)}


def made(shape: Shape) -> Mapping[int, Answer]:
    return {201: Answer(shape=shape, says="Made.")}


def saved(*, csv: str, jsonl: str) -> Mapping[int, Answer]:
    """A file in either format, of which these are examples."""
    also = {FORMATS["jsonl"]: text(jsonl)}
    return {200: Answer(shape=text(csv), media_type=FORMATS["csv"], also=also, says="The file.")}


def page_query(most: int = MAX_LIMIT) -> dict[str, Schema]:
    """The parameters of a list (mobius-contract §1)."""
    return {
        "cursor": text("", description="`next_cursor` of the page before."),
        "limit": {
            "type": "integer",
            "minimum": 1,
            "maximum": most,
            "default": DEFAULT_LIMIT,
            "description": "How many items a page has at most.",
        },
    }
