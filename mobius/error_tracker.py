"""Errors go to a tracker that speaks Sentry's protocol when SENTRY_DSN says where; secrets stay here.

Sentry's own integrations are left out: they add headers to outgoing requests, and keep bodies, addresses and local
variables. What is logged as an error, with its traceback, is all that goes.
"""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from mobius.redacting import redact

_NEVER = ("request", "user", "breadcrumbs", "server_name", "modules")


def start(dsn: str, **options: Any) -> None:
    """Send errors to `dsn`. Raises ImproperlyConfigured when the package for it is missing, or the address is none."""
    try:
        import sentry_sdk
        from sentry_sdk.integrations.logging import LoggingIntegration
    except ImportError:
        raise ImproperlyConfigured(
            "SENTRY_DSN needs one more package: pip install sentry-sdk, or leave SENTRY_DSN away."
        ) from None
    try:
        sentry_sdk.init(
            dsn=dsn,
            before_send=scrubbed,
            default_integrations=False,
            auto_enabling_integrations=False,
            integrations=[LoggingIntegration(level=None, event_level=logging.ERROR)],
            include_local_variables=False,
            max_breadcrumbs=0,
            max_request_body_size="never",
            **options,
        )
    except sentry_sdk.utils.BadDsn:
        raise ImproperlyConfigured("SENTRY_DSN is no address of an error tracker: copy it again from there.") from None


def scrubbed(event: Any, _hint: Any = None) -> Any:
    """The event without secrets, request, person and machine."""
    return _redacted({name: value for name, value in event.items() if name not in _NEVER})


def _redacted(value: Any) -> Any:
    match value:
        case str():
            return redact(value)
        case dict():
            return {name: _redacted(held) for name, held in value.items() if name != "vars"}
        case list() | tuple():
            return [_redacted(held) for held in value]
        case None | bool() | int() | float():
            return value
    return redact(str(value))
