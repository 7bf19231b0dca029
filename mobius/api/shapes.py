"""The words in which `/v1` describes its JSON: each gives a JSON Schema (2020-12) whose leaves carry an example.

What is described stands beside the code that writes it, in the `shapes.py` of each `api/`; `mobius.openapi` makes the
document of it when somebody asks. Nothing here is read while requests are answered.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.db import models

from mobius.tags import LONGEST_TAG_KEY, LONGEST_TAG_VALUE, MOST_TAGS, RESERVED_TAGS

Schema = dict[str, Any]
"""A JSON Schema. Wherever one may stand, a `Named` may stand, too."""


@dataclass(frozen=True, eq=False)
class Named:
    """A shape that has a name in the document. Its example leaves out what is `rarely` there."""

    name: str
    schema: Schema = field(repr=False)
    rarely: tuple[str, ...] = ()


Shape = Schema | Named


def closed(required: Mapping[str, Shape], optional: Mapping[str, Shape] | None = None, **more: Any) -> Schema:
    """An object with these members and no others."""
    members = {**required, **(optional or {})}
    names = {"required": list(required)} if required else {}
    return {"type": "object", "properties": members, **names, "additionalProperties": False, **more}


def authored(required: Mapping[str, Shape], optional: Mapping[str, Shape] | None = None, **more: Any) -> Schema:
    """As `closed`, for what an author writes and reads again: a null stands for a member that is left out."""
    return closed(required, {name: or_null(shape) for name, shape in (optional or {}).items()}, **more)


def or_null(shape: Shape) -> Schema:
    return {"anyOf": [shape, {"type": "null"}]}


def anything(example: Any = None, **more: Any) -> Schema:
    """An object of somebody else's: its members are not ours to name."""
    return {"type": "object", "additionalProperties": True, "examples": [{} if example is None else example], **more}


def text(example: str, **more: Any) -> Schema:
    return {"type": "string", "examples": [example], **more}


def whole(example: int, **more: Any) -> Schema:
    return {"type": "integer", "examples": [example], **more}


def number(example: float, **more: Any) -> Schema:
    return {"type": "number", "examples": [example], **more}


def flag(example: bool = True, **more: Any) -> Schema:
    return {"type": "boolean", "examples": [example], **more}


def moment(**more: Any) -> Schema:
    """RFC 3339, in UTC."""
    return text("2026-11-24T03:14:15.123456Z", format="date-time", **more)


def ident(prefix: str, **more: Any) -> Schema:
    """An id such as `run_01k9x3m5tq8d2v7w4hnc`."""
    return text(f"{prefix}_01k9x3m5tq8d2v7w4hnc", **more)


def one_of(choices: type[models.TextChoices] | type[enum.StrEnum] | Iterable[str], **more: Any) -> Schema:
    """One of these words; `example` is the one to show, else the first."""
    words = [str(word.value) if isinstance(word, enum.Enum) else word for word in choices]
    example = str(more.pop("example", words[0]))
    return {"type": "string", "enum": words, "examples": [example], **more}


def array(items: Shape, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def mapping(values: Shape, example: Any, **more: Any) -> Schema:
    """An object with any names, whose values are alike."""
    return {"type": "object", "additionalProperties": values, "examples": [example], **more}


TAGS = mapping(
    {"type": "string", "maxLength": LONGEST_TAG_VALUE},
    {"team": "growth"},
    maxProperties=MOST_TAGS,
    description=f"Keys have from 1 to {LONGEST_TAG_KEY} characters and do not begin with `{RESERVED_TAGS}`.",
)


def items_of(item: Shape, **more: Shape) -> Schema:
    return closed({"items": array(item), **more})


def page_of(item: Shape) -> Schema:
    """The page envelope (mobius-contract §1)."""
    cursor = text("cnVuXzAxazl4M201dHE4ZDJ2N3c0aG5j", description="Where the next page begins: send it as `cursor`.")
    last = {"items": [example_of(item)], "has_more": False}
    return closed({"items": array(item), "has_more": flag()}, {"next_cursor": cursor}, examples=[last])


def of_form(form: type[forms.Form]) -> dict[str, Schema]:
    """The members that a form reads, from the form itself."""
    return {name: _of_field(one) for name, one in form.base_fields.items()}


def _of_field(one: forms.Field) -> Schema:
    said = {"description": str(one.help_text)} if one.help_text else {}
    if isinstance(one, forms.BooleanField):
        return {"type": "boolean", **said}
    if isinstance(one, forms.IntegerField):
        bounds = {"minimum": one.min_value, "maximum": one.max_value}
        return {"type": "integer", **{name: value for name, value in bounds.items() if value is not None}, **said}
    longest = {"maxLength": one.max_length} if isinstance(one, forms.CharField) and one.max_length else {}
    return {"type": "string", **longest, **said}


def example_of(shape: Shape) -> Any:
    """A value of this shape, made of the examples of its leaves."""
    if isinstance(shape, Named):
        return _example(shape.schema, shape.rarely)
    return _example(shape, ())


def _example(schema: Schema, rarely: tuple[str, ...]) -> Any:
    if "examples" in schema:
        return schema["examples"][0]
    if "const" in schema:
        return schema["const"]
    if "anyOf" in schema or "oneOf" in schema:
        return example_of((schema.get("anyOf") or schema["oneOf"])[0])
    if schema.get("type") == "array":
        return [example_of(schema["items"])]
    members = {name: one for name, one in schema.get("properties", {}).items() if name not in rarely}
    return {name: example_of(one) for name, one in members.items()}
