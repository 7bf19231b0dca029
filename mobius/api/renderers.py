"""Writing JSON: compact, UTF-8, never NaN, and never failing on a stray surrogate that somebody stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.renderers import BaseRenderer
from rest_framework.utils.encoders import JSONEncoder

_encoder = JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def to_json(value: Any) -> bytes:
    """`value` as JSON; dates, UUIDs, decimals and lazy texts are written as DRF writes them.

    Raises ValueError for NaN and infinities.
    """
    # Only surrogates cannot be UTF-8, and Python's replacement for one is at the same time its JSON escape.
    return _encoder.encode(value).encode("utf-8", "backslashreplace")


class CompactJSONRenderer(BaseRenderer):
    """The only renderer of `/v1`."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        return b"" if data is None else to_json(data)
