"""The load generator, against the Clay simulator."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from mobius.bench.load import BROKEN, closed_loop, complete, counted, drive, paced
from mobius.bench.run_start import start_requests


@pytest.fixture
def clay() -> Iterator[ClaySimulator]:
    with ClaySimulator(unpaced=True, limit=None) as simulator:
        yield simulator


def row(number: int) -> bytes:
    return (
        b"POST /v3/sources/webhook/bench HTTP/1.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: 8\r\n\r\n%08d" % (number + 10_000_000)
    )


def test_every_request_of_a_count_is_sent_once_and_noted(clay: ClaySimulator) -> None:
    outcome = drive(("127.0.0.1", clay.port), row, counted(100), connections=4)

    assert sorted(kept.body - 10_000_000 for kept in clay.rows) == list(range(100))
    assert outcome.accepted == 100
    assert set(outcome.sent_at) == set(outcome.latency) == set(range(100))
    assert all(outcome.sent_at[kept.body - 10_000_000] <= kept.at + 0.001 for kept in clay.rows)
    assert outcome.accepted_per_second == pytest.approx(100 / outcome.seconds)


def test_a_closed_loop_goes_on_for_its_time(clay: ClaySimulator) -> None:
    outcome = drive(("127.0.0.1", clay.port), row, closed_loop(0.2), connections=16)

    assert 0.19 < outcome.seconds < 1.0
    assert outcome.accepted == clay.stats["accepted"] > 100


def test_a_paced_load_keeps_its_pace_though_answers_are_slow(clay: ClaySimulator) -> None:
    clay.change(slow=0.05)

    outcome = drive(("127.0.0.1", clay.port), row, paced(100.0, 0.3), connections=16)

    assert outcome.accepted == 30
    sent = [outcome.sent_at[number] - outcome.sent_at[0] for number in range(30)]
    assert all(at >= number / 100 - 0.005 for number, at in enumerate(sent))
    assert sent[-1] < 1.0  # one after the other they would take 1.5 s
    assert min(outcome.latency.values()) >= 0.045


def test_refusals_and_lost_answers_are_counted_and_not_sent_again(clay: ClaySimulator) -> None:
    clay.next_answers(Behaviour(fail=429), Behaviour(reset=True), Behaviour(fail=503))

    outcome = drive(("127.0.0.1", clay.port), row, counted(10), connections=2)

    assert outcome.refused == {429: 1, BROKEN: 1, 503: 1}
    assert outcome.accepted == 7
    assert clay.stats["requests"] == 10


def test_a_connection_that_the_server_closes_is_opened_again(clay: ClaySimulator) -> None:
    def closing(number: int) -> bytes:
        return row(number).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)

    assert drive(("127.0.0.1", clay.port), closing, counted(20), connections=2).accepted == 20


def test_an_answer_may_come_in_pieces(clay: ClaySimulator) -> None:
    clay.change(drip=0.0001)

    assert drive(("127.0.0.1", clay.port), row, counted(2), connections=1).accepted == 2


def test_a_server_that_is_not_there_is_an_error(clay: ClaySimulator) -> None:
    clay.stop()

    with pytest.raises(ConnectionRefusedError):
        drive(("127.0.0.1", clay.port), row, counted(1), connections=1)


@pytest.mark.parametrize(
    ("received", "at_end", "expected"),
    [
        (b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n", False, False),
        (b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{", False, False),
        (b"HTTP/1.1 202 Accepted\r\nCONTENT-LENGTH:2\r\n\r\n{}", False, True),
        (b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", False, False),
        (b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", False, True),
        (b"HTTP/1.1 202 Accepted\r\n\r\n{}", False, False),
        (b"HTTP/1.1 202 Accepted\r\n\r\n{}", True, True),
    ],
)
def test_the_end_of_an_answer_is_found(received: bytes, at_end: bool, expected: bool) -> None:
    assert complete(received, at_end=at_end) is expected


def test_a_start_differs_from_the_next_by_its_number_alone() -> None:
    request = start_requests(8000, "mbx_00000000", "loop_1", "latency")
    head, _, body = request(42).partition(b"\r\n\r\n")

    assert body == b'{"event": {"email": "lead.00000042@example.com", "request_id": "latency-00000042"}}'
    assert f"Content-Length: {len(body)}".encode() in head
    assert b"Authorization: Bearer mbx_00000000\r\n" in head
    assert request(7).replace(b"00000007", b"00000042") == request(42)
