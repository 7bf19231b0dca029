"""Reading a request's body, above all a run start: plain code, because this is the hottest path of the product."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loops.starting import Start
from mobius.api.parsing import json_type
from mobius.api.serializing import known_fields
from mobius.errors import InvalidFields

_OBJECTS = ("event", "meta", "config", "source")
# Budgets are Mobius's own (mobius-contract §7.1): accepted and ignored.
_KNOWN = (*_OBJECTS, "idempotency_key", "budget_usd", "credit_budget")
LONGEST_SOURCE = 200
SOURCE_TYPES = ("api", "trigger", "manual", "signal")


def read_object(data: Any) -> dict[str, Any]:
    """The body of a request, which must be a JSON object. Raises InvalidFields."""
    if not isinstance(data, dict):
        raise InvalidFields({"body": [f"Send a JSON object, not {json_type(data)}."]})
    return data


def read_start(data: Any, *, header_key: str = "") -> Start:
    """What a run starts with. The idempotency key may come in the body, in `Idempotency-Key`, or alike in both.

    Raises InvalidFields.
    """
    read_object(data)
    known_fields(data, _KNOWN)
    problems: dict[str, list[str]] = {}
    objects: dict[str, Any] = {name: _object(data, name, problems) for name in _OBJECTS}
    _check_source(objects["source"], problems)
    if data.get("budget_usd") is not None and data.get("credit_budget") is not None:
        problems["credit_budget"] = ["Give budget_usd or credit_budget, not both."]
    key = _key(data, header_key.strip(), problems)
    if problems:
        raise InvalidFields(problems)
    return Start(**objects, idempotency_key=key)


def _object(data: Mapping[str, Any], name: str, problems: dict[str, list[str]]) -> dict[str, Any]:
    value = data.get(name)
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    problems[name] = [f"Send a JSON object, not {json_type(value)}."]
    return {}


def _check_source(source: Mapping[str, Any], problems: dict[str, list[str]]) -> None:
    for name, value in source.items():
        if name not in ("type", "id", "label"):
            problems[f"source.{name}"] = ["There is no such field. Known fields: id, label, type."]
        elif not isinstance(value, str) or len(value) > LONGEST_SOURCE:
            problems[f"source.{name}"] = [f"Send text of at most {LONGEST_SOURCE} characters."]
    if "source.type" not in problems and source.get("type", "api") not in SOURCE_TYPES:
        problems["source.type"] = [f"Send one of {', '.join(SOURCE_TYPES)}."]


def _key(data: Mapping[str, Any], header_key: str, problems: dict[str, list[str]]) -> str:
    value = data.get("idempotency_key")
    if value is not None and not isinstance(value, str):
        problems["idempotency_key"] = [f"Send text, not {json_type(value)}."]
        return ""
    body_key = (value or "").strip()
    if body_key and header_key and body_key != header_key:
        problems["idempotency_key"] = ["It differs from the header Idempotency-Key; send the same in both."]
    return body_key or header_key
