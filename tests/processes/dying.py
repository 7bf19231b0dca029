"""`mobius`, but one that dies by kill -9 at a named point: `python -m tests.processes.dying POINT serve …`.

The points are those of `test_kill_points`. The product has no hooks for this: named functions of it, of Django and of
`socket` are replaced in this process, once Django is set up.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from mobius import cli


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str) -> None:
    """Die instead of calling `owner.name`."""
    setattr(owner, name, lambda *_, **__: die())


def after(owner: Any, name: str, then: Callable[[], None] = die) -> None:
    """Do `then` when `owner.name` has returned."""
    original = getattr(owner, name)

    def called(*arguments: Any, **options: Any) -> Any:
        result = original(*arguments, **options)
        then()
        return result

    setattr(owner, name, called)


def at_the_commit_of(owner: Any, name: str, where: Callable[[Any, str], None]) -> None:
    """Die before, or after, the database commits what `owner.name` wrote: on the connection of its own thread, for
    another's heartbeat may commit meanwhile."""
    from django.db import connection

    after(owner, name, lambda: where(connection, "_commit"))


def at_stage(wanted: str) -> None:
    from integrations import outbound

    original = outbound.post

    def post(*arguments: Any, **options: Any) -> Any:
        def on_stage(stage: str) -> None:
            if stage == wanted:
                die()

        return original(*arguments, **options | {"on_stage": on_stage})

    outbound.post = post


def with_half_the_body_sent() -> None:
    original = socket.socket.sendall

    def sendall(sock: socket.socket, data: bytes, *flags: int) -> None:
        head, end, body = bytes(data).partition(b"\r\n\r\n")
        if head.startswith(b"POST /v3/sources/webhook/"):
            original(sock, head + end + body[: len(body) // 2])
            die()
        original(sock, data, *flags)

    socket.socket.sendall = sendall  # type: ignore[method-assign]


def die_with_a_run_in_hand() -> None:
    from mobius.engine.worker import Worker  # its packages are there only with PostgreSQL

    before(Worker, "put")


def arm(point: str) -> None:
    from integrations import delivering, outbound
    from mobius.engine.pool import Pool

    points: dict[str, Callable[[], None]] = {
        "start committed": lambda: before(Pool, "put"),
        "run taken": die_with_a_run_in_hand,
        "boot": lambda: after(delivering, "doubt_the_silent"),
        "before the commit of sending": lambda: at_the_commit_of(delivering, "reserve", before),
        "after the commit of sending": lambda: at_the_commit_of(delivering, "reserve", after),
        "connected": lambda: at_stage("connected"),
        "half the body sent": with_half_the_body_sent,
        "sent, no answer": lambda: at_stage("sent"),
        "answer read": lambda: after(outbound, "post"),
        "before the commit of the outcome": lambda: at_the_commit_of(delivering, "record", before),
        "after the commit of the outcome": lambda: at_the_commit_of(delivering, "record", after),
    }
    points[point]()


def main() -> None:
    point = sys.argv.pop(1)
    set_up = cli.start_django

    def start_django() -> None:
        set_up()
        arm(point)

    cli.start_django = start_django
    cli.main(prog_name="mobius")


if __name__ == "__main__":
    main()
