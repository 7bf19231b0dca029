"""Files to save, in either of the formats that tables are given out in."""

from __future__ import annotations

from collections.abc import Iterator

from django.http import StreamingHttpResponse

FORMATS = {"csv": "text/csv", "jsonl": "application/jsonl"}
"""Their media types."""


def download(parts: Iterator[str] | Iterator[bytes], *, format: str, name: str) -> StreamingHttpResponse:
    """`parts` as a file in UTF-8, named `name` and kept by no cache; `format` is one of FORMATS."""
    response = StreamingHttpResponse(parts, content_type=f"{FORMATS[format]}; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.{format}"'
    response.headers["Cache-Control"] = "no-store"
    return response
