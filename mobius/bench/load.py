"""The load generator: many connections driven by one thread over raw sockets, so that it takes little from the server.

Requests are bytes made beforehand but for their number; of an answer only the status and the length are read.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

# Says when request n may be sent, in seconds since the load began; None: there is no request n.
Schedule = Callable[[int, float], float | None]

BROKEN = 0  # stands for the status where no whole answer came
ANSWER_TIMEOUT_SECONDS = 60.0


def closed_loop(seconds: float) -> Schedule:
    """As fast as answers come, for `seconds`."""
    return lambda n, now: 0.0 if now < seconds else None


def paced(rate: float, seconds: float) -> Schedule:
    """`rate` a second, evenly, for `seconds`."""
    return lambda n, now: n / rate if n < rate * seconds else None


def counted(count: int) -> Schedule:
    """`count`, as fast as answers come."""
    return lambda n, now: 0.0 if n < count else None


@dataclass
class Outcome:
    """What the server answered, request by request."""

    began_at: float = 0.0  # time.time(), as in the simulator's log
    seconds: float = 0.0  # until the last answer
    sent_at: dict[int, float] = field(default_factory=dict)  # time.time() by number
    latency: dict[int, float] = field(default_factory=dict)  # seconds until the whole answer, by number; accepted only
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def accepted(self) -> int:
        return len(self.latency)

    @property
    def accepted_per_second(self) -> float:
        return self.accepted / self.seconds if self.seconds else 0.0

    @property
    def refused(self) -> dict[int, int]:
        """Counts of every other status; `BROKEN` counts the requests without an answer."""
        return {status: count for status, count in self.statuses.items() if not 200 <= status < 300}


class Line:
    """One kept-alive connection with at most one request on it."""

    def __init__(self, address: tuple[str, int], selector: selectors.BaseSelector) -> None:
        self.address = address
        self.selector = selector
        self.number = -1
        self.sent = 0.0
        self.received = b""
        self.open()

    def open(self) -> None:
        self.socket = socket.create_connection(self.address, timeout=ANSWER_TIMEOUT_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.selector.register(self.socket, selectors.EVENT_READ, self)

    def close(self) -> None:
        if self.socket.fileno() >= 0:  # else it was closed, and could not be opened again
            self.selector.unregister(self.socket)
            self.socket.close()

    def send(self, number: int, request: bytes) -> None:
        self.number, self.received, self.sent = number, b"", time.perf_counter()
        try:
            self.socket.sendall(request)
        except OSError:  # the server closed it while it was idle
            self.close()
            self.open()
            self.socket.sendall(request)

    def read(self) -> int | None:
        """The status, once the answer is complete; None before that; BROKEN when it will never be."""
        try:
            data = self.socket.recv(65_536)
        except OSError:
            data = b""
        self.received += data
        whole = complete(self.received, at_end=not data)
        if not data or (whole and b"\r\nconnection: close" in self.received.lower()):
            self.close()
            self.open()
        if whole:
            return int(self.received[9:12])
        return None if data else BROKEN


def complete(received: bytes, *, at_end: bool) -> bool:
    """Whether `received` holds a whole answer, by its length, its last chunk or the end of the connection."""
    head_ends = received.find(b"\r\n\r\n")
    if head_ends < 0:
        return False
    head = received[:head_ends].lower()
    _, found, rest = head.partition(b"\r\ncontent-length:")
    if found:
        return len(received) >= head_ends + 4 + int(rest.split(b"\r\n", 1)[0])
    if b"\r\ntransfer-encoding: chunked" in head:
        return received.endswith(b"0\r\n\r\n")
    return at_end


def drive(
    address: tuple[str, int],
    request: Callable[[int], bytes],
    schedule: Schedule,
    *,
    connections: int,
) -> Outcome:
    """Send `request(0)`, `request(1)`, … as `schedule` says and wait for every answer.

    Raises OSError when the server cannot be connected to, TimeoutError when nothing is answered for a minute.
    """
    outcome = Outcome()
    with selectors.DefaultSelector() as selector:
        lines = [Line(address, selector) for _ in range(connections)]
        try:
            outcome.began_at, began = time.time(), time.perf_counter()
            _exchange(selector, lines, request, schedule, outcome)
            outcome.seconds = time.perf_counter() - began
        finally:
            for line in lines:
                line.close()
    return outcome


def _exchange(
    selector: selectors.BaseSelector,
    lines: list[Line],
    request: Callable[[int], bytes],
    schedule: Schedule,
    outcome: Outcome,
) -> None:
    idle, number, began = list(lines), 0, time.perf_counter()
    while True:
        now = time.perf_counter() - began
        due = schedule(number, now)
        while idle and due is not None and due <= now:
            line = idle.pop()
            outcome.sent_at[number] = time.time()
            line.send(number, request(number))
            number += 1
            now = time.perf_counter() - began
            due = schedule(number, now)
        if due is None and len(idle) == len(lines):
            return
        wait = max(due - now, 0.0) if due is not None and idle else ANSWER_TIMEOUT_SECONDS
        ready = selector.select(wait)
        if not ready and wait == ANSWER_TIMEOUT_SECONDS:
            raise TimeoutError(f"no answer came for {ANSWER_TIMEOUT_SECONDS:.0f} s")
        for key, _ in ready:
            line = key.data
            status = line.read()
            if status is None or line.number < 0:
                continue
            _note(outcome, line, status)
            idle.append(line)


def _note(outcome: Outcome, line: Line, status: int) -> None:
    outcome.statuses[status] += 1
    if 200 <= status < 300:
        outcome.latency[line.number] = time.perf_counter() - line.sent
    line.number = -1
