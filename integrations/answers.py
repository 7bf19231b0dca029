"""Reading an answer that may be hostile: endless, huge, packed or no HTTP at all."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from typing import Any, BinaryIO, Protocol

from integrations.providers.contract import Failure

BODY_LIMIT = 64 * 1024
HEAD_LIMIT = 64 * 1024  # status lines and headers together, those of interim answers included


class HeadTooLarge(http.client.HTTPException):
    """The head of the answer is longer than we read."""


class BoundedAnswer(http.client.HTTPResponse):
    """An answer with a bounded head, which tells its status as soon as that line is there.

    `http.client` forgets the status when the headers after it are unreadable, takes 100 header lines of 64 KiB, reads
    `100 Continue` for ever, and takes any other interim answer, such as 103 Early Hints, for the final one.
    """

    fp: Any

    def __init__(self, on_status: Callable[[int], None], *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._on_status = on_status

    def begin(self) -> None:
        stream = self.fp
        self.fp = head = _Head(stream)
        try:
            super().begin()
        finally:
            if self.fp is head:  # nonsense for a status line has closed it
                self.fp = stream

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc]
        while 100 <= status < 200:
            if status == http.HTTPStatus.SWITCHING_PROTOCOLS:  # which we never ask for
                raise http.client.BadStatusLine("101")
            while self.fp.readline(HEAD_LIMIT) not in (b"\r\n", b"\n", b""):
                pass
            version, status, reason = super()._read_status()  # type: ignore[misc]
        if version.startswith(("HTTP/1.", "HTTP/0.9")):
            self._on_status(status)
        return version, status, reason


class _Head:
    """The stream of an answer while its head is read, which must fit into HEAD_LIMIT."""

    def __init__(self, stream: BinaryIO) -> None:
        self.close = stream.close
        self._readline = stream.readline
        self._left = HEAD_LIMIT

    def readline(self, limit: int) -> bytes:
        line = self._readline(min(limit, self._left + 1))
        self._left -= len(line)
        if self._left < 0:
            raise HeadTooLarge
        return line


class Readable(Protocol):
    def read1(self, amount: int, /) -> bytes: ...


def read_body(answer: Readable) -> tuple[bytes, Failure | None]:
    """What came of the body, at most BODY_LIMIT bytes, and why it is not all of it. Nothing is unpacked."""
    kept = bytearray()
    try:
        while len(kept) <= BODY_LIMIT:
            piece = answer.read1(BODY_LIMIT + 1 - len(kept))
            if not piece:
                break
            kept += piece
    except TimeoutError:
        return bytes(kept), Failure.TIMEOUT
    except (OSError, http.client.HTTPException):
        return bytes(kept), Failure.RESET
    if len(kept) > BODY_LIMIT:
        return bytes(kept[:BODY_LIMIT]), Failure.TOO_LARGE
    return bytes(kept), Failure.RESET if getattr(answer, "length", None) else None
