"""What an address can refuse a call for, as the envelope that the caller will see: from the errors themselves."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mobius import errors
from mobius.api.envelope import RATE_LIMIT_HEADERS, describe
from mobius.api.operations import Operation
from mobius.api.shapes import Named, Schema, closed, mapping, text
from mobius.errors import MobiusError

ERROR = Named(
    "ErrorResponse",
    closed(
        {
            "error": closed(
                {
                    "code": text("not_found", description="For programs."),
                    "message": text("There is no such loop.", description="For people: what is wrong, and what to do."),
                },
                {
                    "details": {
                        "type": "object",
                        "properties": {"fields": mapping({"type": "array", "items": {"type": "string"}}, {})},
                        "additionalProperties": True,
                        "examples": [{}],
                        "description": "`fields` holds the sentences about each field that is wrong.",
                    }
                },
            )
        }
    ),
)

ALWAYS: dict[str, Any] = {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}}
"""The headers of every answer; what they are is told once."""

_ALL = (errors.BadRequest, errors.RateLimitExceeded)
_WITH_A_BODY = (errors.PayloadTooLarge, errors.UnsupportedMediaType)
_WITH_A_KEY = (errors.Unauthorized, errors.PermissionDenied, errors.NotFound)
_HEADERS: dict[int, tuple[str, ...]] = {
    401: ("WWW-Authenticate",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}


@dataclass(frozen=True)
class Refusal:
    """One status, and the errors that have it at an address."""

    status: int
    kinds: tuple[type[MobiusError], ...]

    @property
    def name(self) -> str:
        return "Or".join(kind.__name__ for kind in self.kinds)

    @property
    def response(self) -> Schema:
        problems = {kind.code: describe(kind()) for kind in reversed(self.kinds)}
        codes = {"properties": {"error": {"properties": {"code": {"enum": sorted(problems)}}}}}
        return {
            "description": " ".join(dict.fromkeys(_sentence(kind) for kind in self.kinds)),
            "headers": _headers(self.status),
            "content": {
                "application/json": {
                    "schema": {"allOf": [ERROR, codes]},
                    "examples": {code: {"value": problem.body()} for code, problem in problems.items()},
                }
            },
        }


def refusals_of(operation: Operation, *, has_body: bool, never_lost: bool) -> Iterator[Refusal]:
    """One for each status. `never_lost`: what cannot be stored now is answered with 429 instead of 503."""
    known: list[type[MobiusError]] = [*_ALL, *operation.refuses]
    known += [errors.NotFound] if operation.public else _WITH_A_KEY
    known += _WITH_A_BODY if has_body else ()
    known += [] if never_lost else [errors.ServiceUnavailable]
    by_status: defaultdict[int, list[type[MobiusError]]] = defaultdict(list)
    for error in dict.fromkeys(known):
        by_status[error.http_status].append(error)
    for status in sorted(by_status):
        yield Refusal(status, tuple(by_status[status]))


def _sentence(kind: type[MobiusError]) -> str:
    return " ".join(inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].split())


def _headers(status: int) -> Mapping[str, Any]:
    always = {name: {"schema": {"type": "string"}, "required": True} for name in _HEADERS.get(status, ())}
    sometimes = RATE_LIMIT_HEADERS.values() if status == 429 else ()
    return ALWAYS | always | {name: {"schema": {"type": "string"}} for name in sometimes}
