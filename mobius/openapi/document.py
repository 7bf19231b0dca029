"""The document itself, made once in a process."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer

from mobius.api.renderers import to_json

_one_at_a_time = threading.RLock()


def as_yaml() -> bytes:
    with _one_at_a_time:
        return _as_yaml()


def as_json() -> bytes:
    with _one_at_a_time:
        return _as_json()


@cache
def document() -> dict[str, Any]:
    made: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return made


@cache
def _as_yaml() -> bytes:
    written: bytes = OpenApiYamlRenderer().render(document())
    return written


@cache
def _as_json() -> bytes:
    return to_json(document())
