"""The embedded server's own part in answering: how what is written reaches the far side."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from mobius import serving
from mobius.serving import Server, _Channel

LARGE = b"0123456789abcdef" * 256 * 1024  # more than the far side's buffers hold


def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/slow":
        time.sleep(1)
    if environ["PATH_INFO"] == "/endless":
        start_response("200 OK", [])
        return itertools.repeat(LARGE)
    if environ["PATH_INFO"] == "/late":
        time.sleep(0.9)
    body = LARGE if environ["PATH_INFO"] in ("/large", "/late") else b"small"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server with few places."""
    monkeypatch.setattr(serving, "_MOST_CONNECTIONS", 40)
    monkeypatch.setattr(serving, "_ROOM", 10)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that gives up soon."""
    monkeypatch.setattr(serving, "_STUCK_AFTER_SECONDS", 0.5)
    monkeypatch.setattr(serving, "_SILENT_AFTER_SECONDS", 0.5)
    monkeypatch.setattr(serving, "_LOOKS_EVERY_SECONDS", 0.1)


@pytest.fixture
def port() -> Iterator[int]:
    """Where a server of ours answers meanwhile."""
    server = Server(answer, host="127.0.0.1", port=0)
    stopping = threading.Event()
    thread = threading.Thread(target=server.run, args=[stopping])
    thread.start()
    (listener,) = (one for one in server._sockets.values() if getattr(one, "accepting", False))
    yield listener.effective_port
    stopping.set()
    server.wake()
    thread.join()
    server.drain()
    for one in list(server._sockets.values()):
        one.close()


def ask(port: int, path: str, *, pause: float = 0.0) -> bytes:
    """The whole answer, read to its end after a pause."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        time.sleep(pause)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def test_an_answer_arrives_whole(port: int) -> None:
    assert ask(port, "/small").endswith(b"\r\n\r\nsmall")


def test_a_far_side_that_reads_late_gets_a_large_answer_whole(port: int) -> None:
    assert ask(port, "/large", pause=0.3).partition(b"\r\n\r\n")[2] == LARGE


def test_a_far_side_that_hangs_up_in_the_middle_is_nobody_else_s_trouble(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.recv(1)

    assert ask(port, "/small").endswith(b"small")


def test_the_loop_has_nothing_to_do_for_an_answer_that_is_just_being_sent(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it turns and turns, and takes the interpreter from the thread that sends."""
    had_something_to_do: list[bool] = []
    send = _Channel.send

    def watched(channel: Any, data: bytes, do_close: bool = True) -> int:
        had_something_to_do.append(bool(channel.writable()))
        return int(send(channel, data, do_close))

    monkeypatch.setattr(_Channel, "send", watched)

    ask(port, "/small")

    assert had_something_to_do == [False]  # head and body together


def test_whoever_opens_all_connections_and_keeps_silent_shuts_nobody_out(crowded: None, port: int) -> None:
    answered: list[bytes] = []
    early = threading.Thread(target=lambda: answered.append(ask(port, "/slow")))
    early.start()
    time.sleep(0.2)
    silent = []
    try:
        for _ in range(120):
            silent.append(socket.create_connection(("127.0.0.1", port), timeout=10))
            silent[-1].sendall(b"GET /small HTTP/1.1\r\nX-Never-Ends: ")

        assert [ask(port, "/small")[-5:] for _ in range(3)] == [b"small"] * 3
        early.join()
        assert answered[0].endswith(b"small"), "who is being answered stays"
    finally:
        for one in silent:
            one.close()


def test_whoever_reads_nothing_of_a_large_answer_holds_no_thread_for_ever(impatient: None, port: int) -> None:
    stuck = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(24)]  # as many as threads
    try:
        for one in stuck:
            one.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.5)

        assert ask(port, "/small").endswith(b"small")
    finally:
        for one in stuck:
            one.close()


def test_who_was_long_silent_has_as_long_to_read_as_others(impatient: None, port: int) -> None:
    """An event stream, for instance, whose reader pauses for a moment."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        time.sleep(0.7)
        connection.sendall(b"GET /late HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        time.sleep(1.2)
        assert b"".join(iter(lambda: connection.recv(65_536), b"")).partition(b"\r\n\r\n")[2] == LARGE


@pytest.mark.parametrize("hours", [6, -6])
def test_a_clock_that_is_set_anew_ends_no_connection(port: int, monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as kept:
        kept.sendall(b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n")
        assert kept.recv(65_536).endswith(b"small")
        set_clock(monkeypatch, hours)
        assert ask(port, "/small").endswith(b"small")  # so the server has looked around since

        kept.sendall(b"GET /small HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"".join(iter(lambda: kept.recv(65_536), b"")).endswith(b"small")


def test_whoever_asks_for_nothing_more_is_let_go_though_the_clock_fell_back(
    impatient: None, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as silent:
        set_clock(monkeypatch, -6)
        assert silent.recv(1) == b""


def set_clock(monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    wall = time.time
    monkeypatch.setattr(time, "time", lambda: wall() + hours * 3600)
