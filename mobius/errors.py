"""The errors of the product: one root, a stable code and an HTTP status each.

Raise early, catch at a border: the API turns a `MobiusError` into the contract's envelope, the console
into a message, `loops.advance` into a failed step. The class docstring says when one meets the error and
is its message unless a better one is given.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar


class MobiusError(Exception):
    """Something the caller can understand, and usually mend."""

    code: ClassVar[str] = "bad_request"
    http_status: ClassVar[int] = 400

    def __init__(self, message: str = "", *, details: Mapping[str, Any] | None = None) -> None:
        self.message = message or inspect.cleandoc(type(self).__doc__ or "").split("\n\n")[0]
        self.details = dict(details or {})
        super().__init__(self.message)


class BadRequest(MobiusError):
    """The request is malformed, or a field of it is not valid."""


class InvalidFields(BadRequest):
    """Some fields are not valid; `details.fields` names each with what to do.

    `fields` maps a field's name (or its path, such as `steps[0].config.duration`) to sentences.
    """

    def __init__(self, fields: Mapping[str, list[str]], message: str = "") -> None:
        named = "; ".join(f"{name}: {' '.join(sentences)}" for name, sentences in fields.items())
        super().__init__(message or named, details={"fields": {name: list(s) for name, s in fields.items()}})

    @property
    def fields(self) -> dict[str, list[str]]:
        return dict(self.details["fields"])


class Unauthorized(MobiusError):
    """The API key is missing, unknown, expired or revoked."""

    code = "unauthorized"
    http_status = 401


class PermissionDenied(MobiusError):
    """The API key or the member is known, but its role does not allow this."""

    code = "permission_denied"
    http_status = 403


class NotFound(MobiusError):
    """There is no such thing here."""

    code = "not_found"
    http_status = 404


class Conflict(MobiusError):
    """The request is well formed, but the present state does not allow it."""

    code = "conflict"
    http_status = 409


class AlreadyExists(Conflict):
    """The name is taken."""

    code = "already_exists"


class PayloadTooLarge(MobiusError):
    """The body is larger than we take."""

    code = "payload_too_large"
    http_status = 413


class UnsupportedMediaType(MobiusError):
    """The body is not JSON: send `Content-Type: application/json`."""

    code = "unsupported_media_type"
    http_status = 415


class RateLimitExceeded(MobiusError):
    """Too many requests: wait as long as `Retry-After` says."""

    code = "rate_limit_exceeded"
    http_status = 429

    def __init__(
        self,
        message: str = "",
        *,
        retry_after_seconds: float = 1,
        limit: int | None = None,
        remaining: int | None = None,
        reset_at: int | None = None,
        scope: str | None = None,
        policy: str | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        # What the contract's X-RateLimit headers say (mobius-contract §1.2); None: left out.
        self.limit, self.remaining, self.reset_at = limit, remaining, reset_at
        self.scope, self.policy = scope, policy


class ServiceUnavailable(MobiusError):
    """We cannot store anything just now: try again in a moment."""

    code = "service_unavailable"
    http_status = 503
