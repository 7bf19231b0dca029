"""Callbacks over real connections to the real process: the whole asynchronous pattern, and crowds of them at once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from integrations.providers.clay.simulator import ClaySimulator
from mobius.bench.load import Outcome, counted, drive
from mobius.bench.stage import PROJECT, ask
from tests.processes.conftest import Console, wait_until

pytestmark = pytest.mark.processes


def enrich(callback_url: str, **settings: Any) -> dict[str, Any]:
    """The founding document's asynchronous pattern: a row with a request_id and a callback_url, then the wait."""
    parameters = {
        "payload": {"email": "${{ event.email }}", "company_domain": "example.com"},
        "request_id": "${{ event.request_id ?? meta.run_id }}",
        "callback_url": callback_url,
    }
    return {
        "name": "enrich",
        "schema_version": "1",
        "settings": settings,
        "steps": [
            {
                "id": "push",
                "kind": "action",
                "config": {"action_name": "clay.webhook.submit", "parameters": parameters},
            },
            {"id": "answer", "kind": "wait_for_event", "config": {"event_type": "clay.callback"}},
        ],
    }


def begin(console: Console, authored: dict[str, Any], count: int = 1, **event: Any) -> list[str]:
    """Make the loop, start runs of it, and give their ids once their rows are at Clay and they wait."""
    loop = console.call("POST", f"{console.root}/loops", authored)["id"]
    runs = []
    for number in range(count):
        given = {"email": f"lead{number}@example.com"} | event
        runs.append(str(console.call("POST", f"{console.root}/loops/{loop}/runs", {"event": given})["id"]))
    return runs


def result_of(console: Console, run: str) -> Any:
    return console.call("GET", f"{console.root}/runs/{run}").get("result")


def waits(console: Console, run: str) -> bool:
    steps = console.call("GET", f"{console.root}/runs/{run}/steps")["items"]
    return bool(steps[-1]["status"] == "suspended")


def tokens(console: Console) -> list[str]:
    """The paths of the callback addresses that rows took to Clay."""
    lines = console.arrivals.log.read_text().splitlines()
    return ["/v1/callbacks/" + json.loads(line)["row"]["callback_url"].rpartition("/")[2] for line in lines]


def posts(console: Console, path: str, body: Callable[[int], Any], *, key: str = "") -> Callable[[int], bytes]:
    """Request number n to `path`, as Clay's HTTP API column sends it."""
    authorization = f"Authorization: Bearer {key}\r\n" if key else ""

    def request(number: int) -> bytes:
        content = json.dumps(body(number)).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{console.port}\r\n{authorization}"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        return head.encode() + content

    return request


def fifty_at_once(console: Console, request: Callable[[int], bytes]) -> Outcome:
    return drive(("127.0.0.1", console.port), request, counted(50), connections=50)


def states(console: Console, run: str) -> Counter[str]:
    """Of the run's callbacks, read where the product keeps them."""
    script = (
        "import json; from loops.models import Callback; "
        f"print(json.dumps(list(Callback.objects.filter(run={run!r}).values_list('state', flat=True))))"
    )
    return Counter(json.loads(console.django(script)))


# --- the whole pattern ---


@pytest.mark.parametrize("console", [["--callbacks", "--callback-delay", "0.2"]], indirect=True)
def test_a_row_goes_out_and_clay_s_last_column_posts_the_result_to_the_step_s_address(console: Console) -> None:
    runs = begin(console, enrich("${{ callback.url }}"), 5)

    wait_until(lambda: all(console.runs()[run] == "completed" for run in runs))

    for number, run in enumerate(runs):
        result = result_of(console, run)
        assert result["push"]["ok"] is True
        assert result["answer"]["request_id"] == run
        assert result["answer"]["email"] == f"lead{number}@example.com"
        assert result["answer"]["enriched"]["company"] == "Example"
    assert console.rows() == dict.fromkeys(runs, 1)


@pytest.fixture
def clay_with_a_key(console: Console) -> Iterator[ClaySimulator]:
    """In the place of the stage's own simulator: one whose HTTP API column has the API key in its account."""
    simulator = console.processes[0]
    simulator.terminate()
    simulator.wait(10)
    key = console.mobius("key", "create", "--project", PROJECT, "--name", "clay", "--role", "callback")
    headers = {"Authorization": f"Bearer {key}"}
    with ClaySimulator(
        port=console.simulator_port, unpaced=True, callbacks=True, callback_delay=0.2, callback_headers=headers
    ) as simulated:
        yield simulated


def test_a_row_goes_out_and_clay_posts_to_the_project_s_door_with_its_key(
    console: Console, clay_with_a_key: ClaySimulator
) -> None:
    door = f"http://127.0.0.1:{console.port}{console.root}/callbacks/clay"
    runs = begin(console, enrich(door), 5)

    wait_until(lambda: all(console.runs()[run] == "completed" for run in runs))

    assert [result_of(console, run)["answer"]["request_id"] for run in runs] == runs
    assert {sent.status for sent in clay_with_a_key.callbacks} == {200}


def test_a_loop_that_demands_a_key_beside_the_address_gets_it_from_clay(
    console: Console, clay_with_a_key: ClaySimulator
) -> None:
    (run,) = begin(console, enrich("${{ callback.url }}", callback_requires_key=True))

    wait_until(lambda: console.runs()[run] == "completed")

    path = clay_with_a_key.rows[-1].body["callback_url"].partition(f":{console.port}")[2]
    status, _ = ask(console.port, "POST", path, b"{}", {"Content-Type": "application/json"})
    assert status == 401


# --- crowds ---


def test_the_same_callback_fifty_times_at_once_is_one_callback(console: Console) -> None:
    (run,) = begin(console, enrich("${{ callback.url }}"))
    wait_until(lambda: waits(console, run))
    (path,) = tokens(console)

    outcome = fifty_at_once(console, posts(console, path, lambda _: {"score": 7}))

    assert dict(outcome.statuses) == {200: 50}
    wait_until(lambda: console.runs()[run] == "completed")
    assert states(console, run) == {"used": 1}
    assert result_of(console, run)["answer"] == {"score": 7}


def test_of_fifty_different_callbacks_at_once_one_wins_and_all_are_kept(console: Console) -> None:
    (run,) = begin(console, enrich("${{ callback.url }}"))
    wait_until(lambda: waits(console, run))
    (path,) = tokens(console)

    outcome = fifty_at_once(console, posts(console, path, lambda number: {"score": number}))

    assert dict(outcome.statuses) == {200: 50}
    wait_until(lambda: console.runs()[run] == "completed")
    kept = states(console, run)
    assert kept["used"] == 1
    assert sum(kept.values()) == 50
    assert set(kept) <= {"used", "update", "late"}, "none is left that seems to be waited for"
    assert 0 <= result_of(console, run)["answer"]["score"] < 50


def test_fifty_runs_are_answered_at_once_through_the_project_s_door(console: Console) -> None:
    runs = begin(console, enrich("${{ callback.url }}"), 50)
    wait_until(lambda: all(waits(console, run) for run in runs))

    answers = posts(
        console,
        f"{console.root}/callbacks/clay",
        lambda number: {"request_id": runs[number], "number": number},
        key=console.key,
    )
    outcome = fifty_at_once(console, answers)

    assert dict(outcome.statuses) == {200: 50}
    wait_until(lambda: all(console.runs()[run] == "completed" for run in runs))
    assert [result_of(console, run)["answer"]["number"] for run in runs] == list(range(50))


def test_fifty_ambiguous_callbacks_at_once_resume_nothing(console: Console) -> None:
    authored = enrich("${{ callback.url }}")
    runs = begin(console, authored, 2, request_id="r")
    wait_until(lambda: all(waits(console, run) for run in runs))

    door = posts(console, f"{console.root}/callbacks/clay", lambda _: {"request_id": "r"}, key=console.key)
    outcome = fifty_at_once(console, door)

    assert dict(outcome.statuses) == {200: 50}
    assert {console.runs()[run] for run in runs} == {"suspended"}


def test_a_huge_callback_is_refused_by_its_length_and_a_torn_one_stores_nothing(console: Console) -> None:
    (run,) = begin(console, enrich("${{ callback.url }}"))
    wait_until(lambda: waits(console, run))
    (path,) = tokens(console)
    json_type = {"Content-Type": "application/json"}

    assert ask(console.port, "POST", path, b'{"a":"' + b"x" * 300_000 + b'"}', json_type)[0] == 413
    assert ask(console.port, "POST", path, b'{"a": ', json_type)[0] == 400
    assert ask(console.port, "POST", path, b"[1]", json_type)[0] == 400
    assert ask(console.port, "POST", path, b"a=1", {"Content-Type": "text/plain"})[0] == 415
    assert ask(console.port, "GET", path)[0] == 405
    assert ask(console.port, "POST", path[:-1], b"{}", json_type)[0] == 404
    assert console.runs()[run] == "suspended"
    assert states(console, run) == Counter()
