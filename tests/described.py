"""Holds answers of `/v1` against its description; every answer that a test client with a key gets is."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import jsonschema_rs
from django.urls import Resolver404, resolve

JsonObject = dict[str, Any]

UNDESCRIBED = {405, 411}
"""What any address can answer with to a request that is none of HTTP's usual; such answers have the envelope."""


@cache
def description() -> JsonObject:
    from mobius.openapi.document import document

    # As its readers have it: lazy texts are texts there.
    found: JsonObject = json.loads(json.dumps(document(), default=str))
    return found


def operation_at(method: str, path: str) -> JsonObject | None:
    """What the description says of this method at this address."""
    try:
        route = resolve(path).route
    except Resolver404:
        return None
    template = "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route)
    method = "get" if method == "HEAD" else method.lower()
    found: JsonObject | None = description()["paths"].get(template, {}).get(method)
    return found


def resolved(entry: JsonObject) -> JsonObject:
    """What a reference within the document leads to."""
    while "$ref" in entry:
        found: Any = description()
        for name in entry["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        entry = found
    return entry


@cache
def _validator(schema: str) -> Any:
    whole = json.loads(schema) | {"components": description()["components"]}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


def problems_of(schema: JsonObject, value: Any) -> list[str]:
    """What of the value does not fit the schema, each with its place."""
    return [
        f"{'/'.join(map(str, error.instance_path))}: {error.message}"[:500]
        for error in _validator(json.dumps(schema, sort_keys=True)).iter_errors(value)
    ]


def check_answer(method: str, path: str, answer: Any) -> None:
    """Asserts that the answer is one that the description speaks of; what is not of `/v1` is not described."""
    if not path.startswith("/v1/"):
        return
    said = operation_at(method, path)
    responses = said["responses"] if said else {}
    media_type = answer.headers.get("Content-Type", "").partition(";")[0]
    assert media_type != "text/html", (method, path)
    if method == "HEAD":
        return
    if said is None or answer.status_code in UNDESCRIBED or answer.status_code == 500:
        assert media_type == "application/json", (method, path, media_type)
        assert problems_of({"$ref": "#/components/schemas/ErrorResponse"}, answer.json()) == []
        return
    assert str(answer.status_code) in responses, (said["operationId"], answer.status_code, answer.content[:500])
    response = resolved(responses[str(answer.status_code)])
    for header, about in response["headers"].items():
        assert not resolved(about).get("required") or header in answer.headers, (said["operationId"], header)
    content = response.get("content", {})
    if not content:
        assert answer.content == b"", said["operationId"]
        return
    assert media_type in content, (said["operationId"], media_type)
    if media_type == "application/json":
        problems = problems_of(content[media_type]["schema"], json.loads(answer.content))
        assert problems == [], (said["operationId"], answer.status_code, answer.content[:2000])
