"""A listener to the event stream of a run, over a connection of its own."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from tests.processes.conftest import Console

JsonObject = dict[str, Any]


class Listener:
    """Reads a stream as an EventSource does."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self.response = connection.getresponse()

    def frames(self) -> Iterator[tuple[int, JsonObject] | str]:
        """Events with their ids, and comments; ends where the server ends."""
        lines: list[str] = []
        for raw in self.response:
            line = raw.decode().rstrip("\n")
            if line:
                lines.append(line)
                continue
            fields = dict(one.split(": ", 1) for one in lines if not one.startswith(":"))
            yield (int(fields["id"]), json.loads(fields["data"])) if fields else lines[0]
            lines = []

    def events(self) -> Iterator[tuple[int, JsonObject]]:
        return (frame for frame in self.frames() if isinstance(frame, tuple))


@contextmanager
def listening(console: Console, run: str, *, last_id: int = 0, address: str = "events") -> Iterator[Listener]:
    headers = {"Authorization": f"Bearer {console.key}", "Accept": "text/event-stream"}
    if last_id:
        headers["Last-Event-ID"] = str(last_id)
    with closing(http.client.HTTPConnection("127.0.0.1", console.port, timeout=20)) as connection:
        connection.request("GET", f"{console.root}/runs/{run}/{address}", headers=headers)
        listener = Listener(connection)
        # The response of a stream without a length owns the socket: to close the connection alone hangs up nothing.
        with closing(listener.response):
            yield listener
