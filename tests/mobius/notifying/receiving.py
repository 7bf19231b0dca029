"""A receiver of webhooks on a loopback port, and what it received."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from loops.models import Loop, Run
from mobius import clock
from mobius.notifying import sending, subscribing
from mobius.notifying.models import Endpoint, Notification
from mobius.notifying.subscribing import NewSecret
from mobius.projects.auditing import SYSTEM
from mobius.projects.models import Project
from tests.cast import work_off
from tests.integrations.sockets import Server
from tests.loops.flow import NAP, begin, fresh, loop_of


class Receiver(Server):
    """Answers with the statuses that it is told, the last of them for ever."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.statuses = [200]
        self.headers = b""

    def _answer(self, _server: Server, connection: socket.socket) -> None:
        self.read_request(connection)
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        connection.sendall(b"HTTP/1.1 %d X\r\n%bContent-Length: 2\r\n\r\nOK" % (status, self.headers))

    @property
    def received(self) -> list[tuple[dict[str, str], bytes]]:
        """Headers, their names in lower case, and body of each request."""
        return [_apart(raw) for raw in self.requests]

    @property
    def types(self) -> list[str]:
        return [json.loads(body)["type"] for _, body in self.received]


def _apart(raw: bytes) -> tuple[dict[str, str], bytes]:
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")[1:]
    return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}, body


@contextmanager
def receiver(settings: Any) -> Iterator[Receiver]:
    with Receiver() as server:
        settings.MOBIUS_OUTBOUND_ALLOW = [*settings.MOBIUS_OUTBOUND_ALLOW, server.allow]
        yield server


def subscribe(project: Project, server: Server | None, *, name: str = "crm", **fields: Any) -> NewSecret:
    url = server.url if server else ""
    return subscribing.create_endpoint(project=project, name=name, url=url, **fields, by=SYSTEM)


def deliver_due() -> None:
    """Do what the couriers do, on this thread: send everything whose time has come."""
    for endpoint in Endpoint.objects.all():
        for due in Notification.objects.due_for(endpoint.pk, clock.now()):
            if sending.claim(due, now=clock.now()):
                sending.deliver(due.pk)


def play(loop: Loop) -> Run:
    run = begin(loop)
    work_off()
    return fresh(run)


def napping(project: Project) -> Loop:
    return loop_of(project, NAP)
