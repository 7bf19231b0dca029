"""Connections that end on time: one thread shuts down every one whose time is up.

A socket's own time-out starts again with every byte, so whoever drips his answer holds a worker for as long as he
likes. A `threading.Timer` for each call would end him too, at the price of a thread for each call.
"""

from __future__ import annotations

import heapq
import itertools
import os
import socket
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from integrations.addresses import SocketAddress

_SHUTDOWN_WAKES = sys.platform != "win32"
"""Whoever waits for a connection that another thread shuts down is told at once."""


class Watch:
    """A connection under watch. `fired` says that its time was up and that it was shut down."""

    __slots__ = ("fired", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock: socket.socket | None = sock
        self.fired = False


class Watchdog:
    """Shuts connections down at their deadlines (monotonic seconds). Its thread starts with the first of them."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew. After a fork the child has neither the thread nor the connections, and the lock may be taken."""
        self._changed = threading.Condition()
        self._deadlines: list[tuple[float, int, Watch]] = []
        self._order = itertools.count()
        self._thread: threading.Thread | None = None

    def watch(self, sock: socket.socket, deadline: float) -> Watch:
        """Watch `sock` until `release`, which comes before it is closed: a descriptor that its owner has closed may
        already be somebody else's."""
        watch = Watch(sock)
        with self._changed:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="outbound-deadlines", daemon=True)
                self._thread.start()
            heapq.heappush(self._deadlines, (deadline, next(self._order), watch))
            if self._deadlines[0][2] is watch:
                self._changed.notify()
        return watch

    def release(self, watch: Watch) -> None:
        """Stop watching. Its place in the heap goes when its deadline passes: that is cheaper than looking for it."""
        with self._changed:
            watch.sock = None

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                while self._deadlines and (self._deadlines[0][0] <= now or self._deadlines[0][2].sock is None):
                    self._end(self._deadlines[0][2])
                    heapq.heappop(self._deadlines)
                self._changed.wait(self._deadlines[0][0] - now if self._deadlines else None)

    def _end(self, watch: Watch) -> None:
        if watch.sock is None:
            return
        watch.fired = True
        with suppress(OSError):  # the far side may have been quicker
            socket.socket.shutdown(watch.sock, socket.SHUT_RDWR)  # of TLS, too: no word of farewell


WATCHDOG = Watchdog()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=WATCHDOG.forget)


def connect(addresses: Sequence[tuple[int, SocketAddress]], *, seconds: float, deadline: float) -> socket.socket:
    """A connection to the first address that takes one, not watched yet.

    All addresses share `seconds`, so that a dead one leaves time for those behind it.
    Raises the OSError of the last address, TimeoutError among them.
    """
    until = min(time.monotonic() + seconds, deadline)
    failure: OSError = TimeoutError()
    for index, (family, address) in enumerate(addresses):
        share = (until - time.monotonic()) / (len(addresses) - index)
        if share <= 0:
            break
        try:
            return _connect_one(family, address, share, deadline)
        except OSError as error:
            failure = error
    raise failure


def _connect_one(family: int, address: SocketAddress, seconds: float, deadline: float) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(seconds)
        sock.connect(address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # From here on the watchdog ends it. A time-out of its own costs a call before each write and read.
        sock.settimeout(None if _SHUTDOWN_WAKES else max(deadline - time.monotonic(), 0.001))
        return sock
    except BaseException:
        sock.close()
        raise
