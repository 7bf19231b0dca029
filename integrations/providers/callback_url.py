"""The address to which a far side shall post what it found: data that we pass on, never fetched by us."""

from __future__ import annotations

from integrations.addresses import UnsafeUrl, check_form

from .contract import CALLBACK_PLACEHOLDER
from .errors import ActionInputInvalid


def check_callback_url(url: str) -> None:
    """Only its form is judged, not where it leads: others call it. Raises ActionInputInvalid."""
    try:
        check_form(url.replace(CALLBACK_PLACEHOLDER, "https://callback.invalid/token"))
    except UnsafeUrl as error:
        raise ActionInputInvalid(f"callback_url: {error.message}") from None
