"""A Clay to try things on: the webhook endpoint with its limits, its answers and, on request, its callbacks.

It runs on a loopback port and imports nothing of ours but its own files, so that the demo, the tests, the
benchmarks and the command `mobius clay simulate` talk to one and the same thing over a real socket.
"""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import threading
import uuid
from concurrent.futures import Future
from contextlib import ExitStack
from types import FrameType
from typing import Any, Self

from .simulated_callbacks import CallbackColumn, SentCallback
from .simulated_endpoint import PREFIX, Behaviour, Endpoint, Options, Row
from .simulated_http import Connection
from .simulated_trouble import BadDay

__all__ = ["Behaviour", "ClaySimulator", "Options", "Row", "SentCallback", "simulate"]


class ClaySimulator:
    """A simulated Clay workspace, in a thread of its own.

    `with ClaySimulator(token="t", unpaced=True) as clay: post(clay.url, …)`. What its options are: `Options`.
    """

    def __init__(self, options: Options | None = None, **changes: Any) -> None:
        chosen = dataclasses.replace(options or Options(), **changes)
        self._endpoint = Endpoint(chosen, self._consider_callback)
        if chosen.trouble:
            self._endpoint.mood = BadDay(chosen.trouble, chosen.seed)
        self._source = "demo" if chosen.port else str(uuid.uuid4())
        self._column: CallbackColumn | None = None
        self._connections: set[Connection] = set()
        self._started: Future[int] = Future()
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Listen. Raises OSError when the port is taken or the log cannot be opened. Not twice."""
        self._thread = threading.Thread(target=self._run, name="simulated-clay", daemon=True)
        self._thread.start()
        self._started.result()
        return self

    def stop(self) -> None:
        """Close the port and every connection. Does nothing when it is stopped already."""
        if self._thread is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def options(self) -> Options:
        return self._endpoint.options

    def change(self, **changes: Any) -> None:
        """Use other options from the next request on, such as `slow=2.0`; not those of the address or the log."""
        self._endpoint.options = dataclasses.replace(self.options, **changes)

    def next_answers(self, *behaviours: Behaviour) -> None:
        """Answer the next requests in these ways, one each, whatever the options say."""
        self._endpoint.coming.extend(behaviours)

    @property
    def port(self) -> int:
        return self._started.result()

    @property
    def token(self) -> str:
        return self.options.token

    @property
    def url(self) -> str:
        """A webhook's whole URL."""
        return self.url_for(self._source)

    def url_for(self, source: str) -> str:
        """The URL of another webhook of the same workspace. Any `source` without a slash exists."""
        return f"http://{self.options.host}:{self.port}{PREFIX}{source}"

    @property
    def rows(self) -> list[Row]:
        """The accepted rows of all sources, newest last."""
        with self._endpoint.changed:
            return list(self._endpoint.rows)

    @property
    def stats(self) -> dict[str, Any]:
        return self._endpoint.stats()

    @property
    def callbacks(self) -> list[SentCallback]:
        """The callbacks that are over, in the order in which they ended."""
        return list(self._column.sent) if self._column else []

    def wait_for_rows(self, count: int, timeout_seconds: float = 5.0) -> list[Row]:
        """The rows, as soon as there are `count` of them. Raises TimeoutError."""
        with self._endpoint.changed:
            if not self._endpoint.changed.wait_for(lambda: len(self._endpoint.rows) >= count, timeout_seconds):
                raise TimeoutError(f"{len(self._endpoint.rows)} of {count} rows came in {timeout_seconds} s")
            return list(self._endpoint.rows)

    def _consider_callback(self, row: Row) -> None:
        if self._column is not None:
            self._column.consider(row, self.options)

    def _run(self) -> None:
        try:
            # The selector loop on every platform: stopping takes the listening socket out of it.
            with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                runner.run(self._serve())
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)

    async def _serve(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        with ExitStack() as opened:
            if self.options.log is not None:
                self._endpoint.log = opened.enter_context(self.options.log.open("ab", buffering=0))
            server = await self._loop.create_server(
                lambda: Connection(self._endpoint, self._connections.add, self._connections.discard),
                self.options.host,
                self.options.port,
                backlog=1024,
            )
            self._column = CallbackColumn()
            opened.callback(self._column.close)
            self._started.set_result(server.sockets[0].getsockname()[1])
            await self._ended.wait()
            # First no more is accepted, then what is being accepted, or answered late, comes to its end: a server that
            # is closed under a connection in the making leaves its socket open.
            self._loop.remove_reader(server.sockets[0])
            while self._connections or len(asyncio.all_tasks()) > 1:
                for connection in list(self._connections):
                    connection.transport.abort()
                await asyncio.sleep(0)
            server.close()


def simulate(*, port: int, **switches: Any) -> None:
    """Run a simulator until SIGTERM or SIGINT; print the webhook's URL on a line of its own.

    `switches` are the other fields of `Options`. To be called in the main thread. Raises OSError when the port is
    taken or the log cannot be opened.
    """
    ended = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    with ClaySimulator(Options(port=port, **switches)) as simulator:
        print(simulator.url, flush=True)
        ended.wait()
