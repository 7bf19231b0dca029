"""Reading an answer that may be hostile: endless, huge, packed or no HTTP at all."""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Callable
from typing import Any, BinaryIO, Protocol

from integrations.providers.contract import Failure

BODY_LIMIT = 64 * 1024
HEAD_LIMIT = 64 * 1024  # status lines and headers together, those of interim answers included


class HeadTooLarge(http.client.HTTPException):
    """The head of the answer is longer than we read."""


class BoundedAnswer(http.client.HTTPResponse):
    """The answer to a POST, with a bounded head, which tells its status as soon as that line is there.

    `http.client` forgets the status when the headers after it are unreadable, takes 100 header lines of 64 KiB, reads
    `100 Continue` for ever, takes any other interim answer, such as 103 Early Hints, for the final one, and reads
    headers with the parser of e-mails, which takes longer than all the rest.
    """

    fp: Any
    headers: Any  # by their names in lower case; of those that come twice the first

    def __init__(self, sock: socket.socket, on_status: Callable[[int], None]) -> None:
        super().__init__(sock, method="POST")
        self._on_status = on_status

    def begin(self) -> None:
        """Read the head. Raises HTTPException for what is none, and OSError."""
        stream = self.fp
        self.fp = head = _Head(stream)
        try:
            _, self.status, self.reason = self._read_status()
            self.headers = _read_headers(head)
        finally:
            if self.fp is head:  # nonsense for a status line has closed it
                self.fp = stream
        self.will_close = True  # we ask for that
        self.chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        self.chunk_left = None
        self.length = None if self.chunked else _length(self.headers.get("content-length", ""))
        if self.status in (http.HTTPStatus.NO_CONTENT, http.HTTPStatus.NOT_MODIFIED):
            self.length = 0

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc]
        while 100 <= status < 200:
            if status == http.HTTPStatus.SWITCHING_PROTOCOLS:  # which we never ask for
                raise http.client.BadStatusLine("101")
            while self.fp.readline(HEAD_LIMIT) not in _BLANK:
                pass
            version, status, reason = super()._read_status()  # type: ignore[misc]
        if not version.startswith(("HTTP/1.", "HTTP/0.9")):
            raise http.client.UnknownProtocol(version)
        self._on_status(status)
        return version, status, reason


_BLANK = (b"\r\n", b"\n", b"")
_MOST_HEADERS = 100
_LENGTH = re.compile(r"[0-9]{1,18}")


def _read_headers(head: _Head) -> dict[str, str]:
    """A line without a colon is left out, one that goes on from the line before it too: nobody asks for what it says.
    Raises HTTPException when there are more than anybody needs."""
    headers: dict[str, str] = {}
    for _ in range(_MOST_HEADERS + 1):
        line = head.readline(HEAD_LIMIT)
        if line in _BLANK:
            return headers
        name, colon, value = line.decode("latin-1").partition(":")
        if colon and not name[:1].isspace():
            headers.setdefault(name.lower(), value.strip())
    raise http.client.HTTPException("too many headers")


def _length(text: str) -> int | None:
    """What Content-Length says, or None for nonsense; a number of thousands of digits is some, too."""
    return int(text) if _LENGTH.fullmatch(text) else None


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
