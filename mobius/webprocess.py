"""A web process of the distributed engine: gunicorn starts, watches and ends it, and waitress serves in it.

As in `mobius serve`, then: a request is read whole before a thread has to do with it, so that nobody who sends half of
one holds a thread; and a start costs a seventh less of the process than by gunicorn's own threads.
"""

from __future__ import annotations

import os
from types import FrameType
from typing import TYPE_CHECKING

from gunicorn.workers.base import Worker

if TYPE_CHECKING:  # it needs the apps, which gunicorn loads
    from mobius.serving import Server


class WebProcess(Worker):  # type: ignore[misc]  # gunicorn has no types
    _server: Server | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self._server is not None:
            self._server.wake()

    def run(self) -> None:
        """Until gunicorn says so, or is gone. What is being answered is answered to its end."""
        from integrations import invoking
        from mobius.serving import Server

        self._server = server = Server(
            self.wsgi, sockets=[listener.sock for listener in self.sockets], threads=self.cfg.threads
        )
        while self.alive and self.ppid == os.getppid():
            self.notify()
            server.turn()
        invoking.close()
        server.drain(patience_seconds=self.cfg.graceful_timeout)
