"""Server-sent events (HTML Living Standard §9.2): a stream holds a thread of the server, but no database connection.

At most 8 streams are open in a process; all end when it stops, and whoever listened goes on where he was, by the id of
the last event.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from mobius.api.renderers import to_json
from mobius.atonce import EVENT_STREAMS

logger = logging.getLogger(__name__)

MEDIA_TYPE = "text/event-stream"
POLL_SECONDS = 0.25
PING_SECONDS = 10.0

_closing = threading.Event()


def _never() -> bool:
    return False


_process_ends: Callable[[], bool] = _never


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event of a stream; `id` is where a listener goes on."""

    id: int
    type: str
    data: object

    def frame(self) -> bytes:
        return b"id: %d\nevent: %b\ndata: %b\n\n" % (self.id, self.type.encode(), to_json(self.data))


@dataclass(frozen=True, kw_only=True)
class News:
    """What has come since the last look, in order; `over`: nothing will come any more."""

    events: list[Event]
    over: bool = False


Look = Callable[[int], News]
"""What came after the event of this id."""


def stream(request: HttpRequest, look: Look, *, after: int) -> HttpResponseBase:
    """Every event after `after`, and those that come, until it is over. Raises RateLimitExceeded when 8 are open."""
    headers = {"X-Accel-Buffering": "no"}  # proxies that know it pass each event on at once
    if request.method == "HEAD":
        return HttpResponse(content_type=MEDIA_TYPE, headers=headers)
    return StreamingHttpResponse(_Frames(look, after), content_type=MEDIA_TYPE, headers=headers)


def end_all() -> None:
    """This process stops: every stream ends within a poll, after a whole event."""
    _closing.set()


def end_when(process_ends: Callable[[], bool]) -> None:
    """As `end_all`, for a server that says by itself whether it stops."""
    global _process_ends
    _process_ends = process_ends


class _Frames:
    """The bytes of a stream. The server closes it whatever happens, also when nobody has read anything."""

    def __init__(self, look: Look, after: int) -> None:
        self._look = look
        self._after = after
        self._leave = EVENT_STREAMS.enter()
        self._frames = self._watch()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._frames)

    def close(self) -> None:
        self._frames.close()
        self._leave()

    def _watch(self) -> Generator[bytes]:
        yield b": here you are\n\n"  # lets the headers out
        spoke_at = time.monotonic()
        while not (_closing.is_set() or _process_ends()):
            news = self._news()
            for event in news.events:
                yield event.frame()
                self._after = event.id
                spoke_at = time.monotonic()
            if news.over:
                return
            if time.monotonic() - spoke_at >= PING_SECONDS:
                yield b": ping\n\n"
                spoke_at = time.monotonic()
            if not news.events:
                _closing.wait(POLL_SECONDS)

    def _news(self) -> News:
        try:
            return self._look(self._after)
        except DatabaseError:
            logger.warning("an event stream ends, because the database does not answer; its listener comes back")
            return News(events=[], over=True)
        finally:
            if not connection.in_atomic_block:  # a test's own transaction
                connection.close()
