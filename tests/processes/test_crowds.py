"""Many starts at once, over real connections to the real process."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from mobius.bench.load import counted, drive
from tests.processes.conftest import Console, wait_until

pytestmark = pytest.mark.processes


def starts(console: Console, body: Callable[[int], dict[str, object]]) -> Callable[[int], bytes]:
    """Request number n: a run start with `body(n)`."""

    def request(number: int) -> bytes:
        content = json.dumps(body(number)).encode()
        head = (
            f"POST {console.root}/loops/push/runs HTTP/1.1\r\nHost: 127.0.0.1:{console.port}\r\n"
            f"Authorization: Bearer {console.key}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(content)}\r\n\r\n"
        )
        return head.encode() + content

    return request


def event(number: int) -> dict[str, object]:
    return {"email": f"lead{number}@example.com"}


@pytest.mark.parametrize("console", [["--slow", "6.0"]], indirect=True)
def test_a_hundred_starts_with_one_key_at_once_are_one_run_and_one_row(console: Console) -> None:
    same = starts(console, lambda number: {"event": event(number), "idempotency_key": "clay:1"})
    outcome = drive(("127.0.0.1", console.port), same, counted(100), connections=50)

    assert dict(outcome.statuses) == {202: 100}
    assert len(console.runs()) == 1
    wait_until(lambda: set(console.runs().values()) == {"completed"})
    assert sum(console.rows().values()) == 1


def test_three_hundred_starts_at_once_are_three_hundred_rows(console: Console) -> None:
    each = starts(console, lambda number: {"event": event(number)})
    outcome = drive(("127.0.0.1", console.port), each, counted(300), connections=40)

    assert dict(outcome.statuses) == {202: 300}
    wait_until(lambda: set(console.runs().values()) == {"completed"})
    assert console.rows() == dict.fromkeys(console.runs(), 1)


def test_bad_starts_among_good_ones_fail_alone(console: Console) -> None:
    mixed = starts(console, lambda number: {"event": event(number)} if number % 3 else {"event": "none"})
    outcome = drive(("127.0.0.1", console.port), mixed, counted(90), connections=30)

    assert dict(outcome.statuses) == {202: 60, 400: 30}
    wait_until(lambda: sum(console.rows().values()) == 60)


def test_starts_whose_key_is_taken_take_no_ring_from_those_beside_them(console: Console) -> None:
    def start(number: int) -> dict[str, object]:
        return {"event": event(number)} | ({"idempotency_key": f"key-{number // 12}"} if number % 3 == 0 else {})

    outcome = drive(("127.0.0.1", console.port), starts(console, start), counted(240), connections=24)

    assert set(outcome.statuses) <= {202, 409}, "a key's run may have ended already"
    wait_until(lambda: set(console.runs().values()) == {"completed"})
    assert console.rows() == dict.fromkeys(console.runs(), 1)
