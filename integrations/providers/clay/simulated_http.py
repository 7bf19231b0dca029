"""The wire of the Clay simulator: a small HTTP/1.1 server that can also misbehave on request.

A protocol and not asyncio's streams: the simulator shares its cores with what it measures, and this costs a third.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

# Larger bodies are answered 413 without being read. Those between Clay's 100 KB and this are read first, because a
# client that is still sending would see a broken connection and not the answer.
READ_LIMIT = 8 * 1024 * 1024
HEAD_LIMIT = 64 * 1024


class Unreadable(Exception):
    """The bytes are no request that we read. Its arguments are the status and the text to answer with."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(slots=True)
class Request:
    """One request, complete."""

    method: str
    path: str
    query: str
    headers: dict[str, str]  # names in lower case
    body: bytes
    at: float  # time.time() when its last byte had arrived
    keep_alive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What to answer, and how badly."""

    status: int = 200
    body: bytes = b"OK"
    content_type: str = "text/plain"
    headers: tuple[tuple[str, str], ...] = ()
    delay_seconds: float = 0.0  # before the first byte
    drip_seconds: float = 0.0  # before each byte; 0: all bytes at once
    reset: bool = False  # reset the connection instead of answering

    def encoded(self, *, keep_alive: bool) -> bytes:
        """The whole answer as bytes."""
        extra = "".join(f"{name}: {value}\r\n" for name, value in self.headers)
        head = (
            f"HTTP/1.1 {self.status} {reason(self.status)}\r\nContent-Type: {self.content_type}\r\n"
            f"Content-Length: {len(self.body)}\r\nConnection: {'keep-alive' if keep_alive else 'close'}\r\n{extra}\r\n"
        )
        return head.encode("latin-1") + self.body


def reason(status: int) -> str:
    """The status line's phrase; unassigned codes have one too."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Status"


def take_request(buffer: bytearray) -> Request | None:
    """Cut the first request off `buffer`; None while it is incomplete. Raises Unreadable."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        if len(buffer) > HEAD_LIMIT:
            raise Unreadable(431, "The headers are too long.")
        return None
    first, *lines = buffer[:end].decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    length = body_length(headers)
    if len(buffer) < end + 4 + length:
        return None
    body = bytes(buffer[end + 4 : end + 4 + length])
    del buffer[: end + 4 + length]
    return assembled(first, headers, body)


def body_length(headers: dict[str, str]) -> int:
    """Bytes of body to wait for. Raises Unreadable."""
    if "transfer-encoding" in headers:
        raise Unreadable(411, "The simulator reads only bodies with a Content-Length.")
    text = headers.get("content-length", "0")
    if not (text.isascii() and text.isdigit()):
        raise Unreadable(400, "The Content-Length is no number.")
    if int(text) > READ_LIMIT:
        raise Unreadable(413, "Payload too large.")
    return int(text)


def assembled(first: str, headers: dict[str, str], body: bytes) -> Request:
    """The request whose first line is `first`. Raises Unreadable."""
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise Unreadable(400, "This is not HTTP/1.1.")
    path, _, query = words[1].partition("?")
    wish = headers.get("connection", "").lower()
    keep_alive = wish != "close" and (words[2] == "HTTP/1.1" or wish == "keep-alive")
    return Request(words[0], path, query, headers, body, time.time(), keep_alive)


class Site(Protocol):
    """What stands behind the wire."""

    def answer(self, request: Request) -> Answer: ...

    def slams(self) -> bool:
        """Whether the connection that was just made is to be reset before anything is read from it."""


class Connection(asyncio.Protocol):
    """One client's connection. Requests are answered in their order, the next one only after the last answer."""

    def __init__(self, site: Site, opened: Callable[[Connection], None], closed: Callable[[Connection], None]) -> None:
        self.site = site
        self.opened = opened
        self.closed = closed
        self.buffer = bytearray()
        self.late: asyncio.Task[None] | None = None  # an answer that takes its time

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.opened(self)
        if self.site.slams():
            self.reset()

    def connection_lost(self, error: Exception | None) -> None:
        if self.late is not None:
            self.late.cancel()
        self.closed(self)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self.late is None:
            self.serve()

    def serve(self) -> None:
        """Answer the requests in the buffer, up to one whose answer takes its time."""
        try:
            while self.late is None and not self.transport.is_closing():
                request = take_request(self.buffer)
                if request is None:
                    return
                self.give(self.site.answer(request), keep_alive=request.keep_alive)
        except Unreadable as error:
            self.give(Answer(status=error.status, body=error.text.encode()), keep_alive=False)

    def give(self, answer: Answer, *, keep_alive: bool) -> None:
        if answer.delay_seconds or answer.drip_seconds:
            self.late = asyncio.get_running_loop().create_task(self.give_late(answer, keep_alive=keep_alive))
        elif answer.reset:
            self.reset()
        else:
            self.transport.write(answer.encoded(keep_alive=keep_alive))
            if not keep_alive:
                self.transport.close()

    async def give_late(self, answer: Answer, *, keep_alive: bool) -> None:
        await asyncio.sleep(answer.delay_seconds)
        if answer.reset:
            self.reset()
            return
        encoded = answer.encoded(keep_alive=keep_alive)
        step = 1 if answer.drip_seconds else len(encoded)
        for start in range(0, len(encoded), step):
            await asyncio.sleep(answer.drip_seconds)
            self.transport.write(encoded[start : start + step])
        self.late = None
        if keep_alive:
            self.serve()
        else:
            self.transport.close()

    def reset(self) -> None:
        """Close so that the client sees a reset, not an orderly end."""
        peer: socket.socket = self.transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()
