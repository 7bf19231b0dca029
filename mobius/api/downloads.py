"""Files to save, in either of the formats that tables are given out in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.http import StreamingHttpResponse

from mobius.atonce import DOWNLOADS

FORMATS = {"csv": "text/csv", "jsonl": "application/jsonl"}
"""Their media types."""


def download(parts: Iterator[str] | Iterator[bytes], *, format: str, name: str) -> StreamingHttpResponse:
    """`parts` as a file in UTF-8, named `name` and kept by no cache; `format` is one of FORMATS.

    Raises RateLimitExceeded when 4 are under way: whoever reads slowly holds a thread of the server.
    """
    response = StreamingHttpResponse(_Parts(parts), content_type=f"{FORMATS[format]}; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.{format}"'
    response.headers["Cache-Control"] = "no-store"
    return response


class _Parts:
    """The server closes it whatever happens, also when nobody has read anything."""

    def __init__(self, parts: Iterator[Any]) -> None:
        self._parts = parts
        self._leave = DOWNLOADS.enter()

    def __iter__(self) -> Iterator[Any]:
        return self._parts

    def close(self) -> None:
        self._leave()
