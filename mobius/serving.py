"""`mobius serve`: web, worker pool and ticker in one process (design §1), from the first socket to the last send."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer, create_server
from waitress.task import ErrorTask, WSGITask

from integrations import invoking
from mobius.api import streaming
from mobius.api.envelope import Problem
from mobius.api.renderers import to_json
from mobius.api.requests import LARGEST_BODY
from mobius.working import SENDS_END_WITHIN_SECONDS, Works, settle_down, share_one_cpu

_ANSWERS_END_WITHIN_SECONDS = 5
_MOST_CONNECTIONS = 1000
_ROOM = 100  # for those that come, however many keep silent
_STUCK_AFTER_SECONDS = 60.0
_SILENT_AFTER_SECONDS = 120.0
_LOOKS_EVERY_SECONDS = 5.0


class _Refusal(ErrorTask):  # type: ignore[misc]  # waitress has no types
    """What waitress does not even hand to us is answered as the API answers, too."""

    def execute(self) -> None:
        error = self.request.error
        # A coding that we do not know is the client's fault: 501 would ring whoever watches for faults of ours.
        status = 400 if error.code == HTTPStatus.NOT_IMPLEMENTED else error.code
        problem = Problem(status=status, message=f"{error.reason}: {error.body}")
        body = to_json(problem.body())
        self.status = f"{status} {HTTPStatus(status).phrase}"
        self.response_headers += [("Content-Type", "application/json"), ("X-Content-Type-Options", "nosniff")]
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Answer(WSGITask):  # type: ignore[misc]
    wrote_header: bool

    def write(self, data: bytes) -> None:
        """Head and body in one packet, where the first piece of the body is all of it."""
        if self.wrote_header or not data or self.content_length != len(data) or not self.has_body:
            super().write(data)
            return
        self.channel.write_soon(self.build_response_header() + data)
        self.wrote_header = True
        self.content_bytes_written = len(data)


class _Channel(HTTPChannel):  # type: ignore[misc]
    task_class = _Answer
    error_task_class = _Refusal

    @property
    def last_activity(self) -> float:
        """On the monotonic clock: when that of the wall is set, nobody has been silent for hours."""
        return self._last_activity

    @last_activity.setter
    def last_activity(self, _: float) -> None:  # waitress gives the time of the wall
        self._last_activity = time.monotonic()

    def is_answered(self) -> bool:
        """Just now: a request of it is worked on, or a part of the answer still has to leave."""
        return bool(self.requests or self.total_outbufs_len)

    def write_soon(self, data: Any) -> int:
        """Send at once while the far side takes it; only what it does not take is for waitress's own buffers.

        Whatever stands in those for a moment makes the server's loop spin, and take the interpreter from the very
        thread that is about to send it: seven turns a request instead of one.
        """
        sent = 0
        with self.outbuf_lock:
            if self.connected and isinstance(data, bytes) and not self.total_outbufs_len:
                sent, _ = self._flush_exception(partial(self._send_now, data))
        if sent and sent == len(data):
            return sent
        if not self.total_outbufs_len:
            self.last_activity = time.monotonic()  # from now on the far side is waited for
        return sent + int(super().write_soon(data[sent:] if sent else data))

    def _send_now(self, data: bytes, *, do_close: bool) -> int:
        return int(self.send(data, do_close=False))


class Server:
    """Waitress, whose loop we turn ourselves so that it can stop accepting and still finish its answers."""

    def __init__(self, application: Any, *, threads: int = 24, **listening: Any) -> None:
        """`listening`: `host` and `port`, or `sockets` that are bound already."""
        self._sockets: dict[int, Any] = {}
        self._looks_at = 0.0
        self._server: Any = create_server(
            application,
            map=self._sockets,
            **listening,
            threads=threads,
            connection_limit=_MOST_CONNECTIONS,
            channel_timeout=sys.maxsize,  # by the clock of the wall; _hang_up does it
            max_request_body_size=LARGEST_BODY,
            ident=None,
            clear_untrusted_proxy_headers=False,  # mobius/wsgi.py judges them, under every server alike
            asyncore_use_poll=sys.platform != "win32",
        )
        self._listeners = [one for one in self._sockets.values() if isinstance(one, BaseWSGIServer)]
        for listener in self._listeners:
            listener.channel_class = _Channel

    def run(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            self.turn()

    def wake(self) -> None:
        """End the loop's present wait; callable from a signal handler."""
        self._listeners[0].pull_trigger()

    def drain(self, *, patience_seconds: float = _ANSWERS_END_WITHIN_SECONDS) -> None:
        """Accept nothing more; finish the requests that have come in. Event streams end, and their listeners return."""
        streaming.end_all()
        for listener in self._listeners:
            listener.del_channel()
            listener.socket.close()
        deadline = time.monotonic() + patience_seconds
        while self._busy() and time.monotonic() < deadline:
            self.turn(0.05)
        self._server.task_dispatcher.shutdown(timeout=1)

    def turn(self, seconds: float = 1.0) -> None:
        """Do what there is to do, and wait so long for something."""
        if len(self._sockets) > _MOST_CONNECTIONS - _ROOM:
            self._make_room()
        if time.monotonic() >= self._looks_at:
            self._looks_at = time.monotonic() + _LOOKS_EVERY_SECONDS
            self._hang_up()
        wasyncore.loop(timeout=seconds, use_poll=sys.platform != "win32", map=self._sockets, count=1)

    def _make_room(self) -> None:
        """Let those go that have said nothing for the longest: whoever opens a thousand connections and keeps silent,
        or drips a request into each, must not shut out everybody else. Who is being answered stays."""
        silent = [one for one in self._channels() if not one.is_answered()]
        for channel in sorted(silent, key=lambda one: one.last_activity)[:_ROOM]:
            channel.will_close = True

    def _hang_up(self) -> None:
        """On those that take nothing of their answer, since a thread waits for each and would for ever; and on those
        that ask for nothing more."""
        now = time.monotonic()
        for channel in self._channels():
            silent_seconds = now - channel.last_activity
            if channel.total_outbufs_len and silent_seconds > _STUCK_AFTER_SECONDS:
                channel.handle_close()
            elif not channel.requests and silent_seconds > _SILENT_AFTER_SECONDS:
                channel.will_close = True

    def _channels(self) -> list[_Channel]:
        return [one for one in list(self._sockets.values()) if isinstance(one, _Channel)]

    def _busy(self) -> bool:
        return any(channel.is_answered() for channel in self._channels())


def serve(application: Any, *, host: str, port: int, when_up: Callable[[], None]) -> bool:
    """Serve until SIGTERM or SIGINT. False when a send was still under way after 25 seconds."""
    stopping = threading.Event()
    server = Server(application, host=host, port=port)  # binds first: a taken port must not recover anything
    works = Works()
    works.start()

    def stop(*_: object) -> None:
        stopping.set()
        server.wake()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    when_up()
    settle_down()
    share_one_cpu()
    server.run(stopping)
    invoking.close()
    server.drain()
    ended = works.stop()
    return invoking.wait(patience_seconds=SENDS_END_WITHIN_SECONDS) and ended
