"""Whatever JSON is posted at whatever endpoint that takes one: it is taken, or refused in the envelope; never a 5xx.

The routes come from the URL configuration, the names of fields from what these endpoints know, so that the bodies get
past the first gate more often than noise would.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cast import Api, work_off
from tests.mobius.test_every_route import ALL, Route, things  # noqa: F401  (a fixture)

WRITING = [route for route in ALL if route.method in ("post", "put", "patch")]

FIELDS = """name steps id kind config action_name parameters payload request_id external_id callback_url integration if
    retry max_attempts delay timeout duration on_timeout event_type source_id match payload_mapping run_name template
    output limits wall_clock_timeout settings tags triggers concurrency event meta source type label idempotency_key
    status role expires_at webhook_url auth_header_name auth_header_value workspace submission_limit submissions_used
    rate_per_second burst never_twice credentials provider row reason decision step_key result budget_usd credit_budget
    wall_clock_extend_seconds description default_config until""".split()
TEXTS = [
    "clay.webhook.submit", "action", "sleep", "wait_for_event", "clay.callback", "clay", "active", "paused", "admin",
    "P1D", "1s", "unlimited", "push", "arrived", "2027-01-01T00:00:00Z", "9999-12-31T23:59:59.999999-23:59",
    "0001-01-01T00:00:00+23:59", "${{ event.email }}", "${{ callback.url }}", "${{", "${{ steps.push.output }}",
    "{{Email}}", "https://api.clay.com/v3/x", "x" * 300, "\u202e\u200b\x1b[31m", "🙂", "<script>", "-", " ", "", "/",
]  # fmt: skip
NUMBERS = [0, -1, 1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**300, 1e308, -1e308, 5e-324, 0.1, True, False, None]

leaves = st.one_of(
    st.sampled_from(TEXTS),
    st.sampled_from(NUMBERS),
    st.text(max_size=8),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=4), inner, max_size=5)
    ),
    max_leaves=12,
)
bodies = st.dictionaries(st.sampled_from(FIELDS), values, max_size=6)


def acceptable(answer: Any) -> bool:
    if answer.status_code < 400:
        return True
    return answer.status_code < 500 and {"code", "message"} <= set(answer.json()["error"])


def send(api: Api, route: Route, filled: str, body: Any) -> Any:
    text = json.dumps(body).encode("utf-8", "surrogatepass")
    return api.generic(route.method.upper(), filled, text, content_type="application/json")


@pytest.mark.parametrize("route", WRITING, ids=str)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
@given(posted=st.lists(bodies, min_size=4, max_size=4))
def test_any_object_is_taken_or_refused(
    api: Api,
    things: dict[str, str],  # noqa: F811
    route: Route,
    posted: list[dict[str, Any]],
) -> None:
    api.raise_request_exception = False
    for body in posted:
        answer = send(api, route, route.filled(**things), body)

        assert acceptable(answer), (body, answer.content)


# One field at a time, in a body that is otherwise right: this gets past every first gate.
RIGHT: dict[str, dict[str, Any]] = {
    "loops": {
        "name": "fuzzed",
        "run_name": {"template": "x"},
        "limits": {"wall_clock_timeout": "1h"},
        "tags": {"a": "b"},
        "steps": [
            {
                "id": "push",
                "kind": "action",
                "if": "true",
                "retry": {"max_attempts": 2, "delay": "1s"},
                "timeout": {"duration": "1s"},
                "config": {
                    "action_name": "clay.webhook.submit",
                    "parameters": {"payload": {"a": "b"}, "request_id": "r"},
                },
            },
            {"kind": "sleep", "config": {"duration": "1s"}},
            {
                "kind": "wait_for_event",
                "config": {"event_type": "clay.callback", "match": {"a": "b"}, "payload_mapping": {"a": "event"}},
            },
        ],
    },
    "loops/push-leads/runs": {
        "event": {"email": "a"},
        "meta": {},
        "config": {},
        "source": {"type": "api"},
        "idempotency_key": "k",
    },
    "integrations/providers/clay/connect": {
        "webhook_url": "https://api.clay.com/v3/x",
        "auth_header_name": "x-key",
        "auth_header_value": "v",
        "name": "new",
        "workspace": "w",
        "submission_limit": 5,
        "submissions_used": 1,
        "rate_per_second": 2.5,
    },
    "api-keys": {"name": "k", "role": "admin", "expires_at": "2027-01-01T00:00:00Z"},
    "callbacks/clay": {"request_id": "r", "a": "b"},
}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in places(one, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    if not path:
        return by
    if isinstance(value, dict):
        return {key: replaced(one, path[1:], by) if key == path[0] else one for key, one in value.items()}
    return [replaced(one, path[1:], by) if key == path[0] else one for key, one in enumerate(value)]


@pytest.mark.parametrize("address", RIGHT)
@pytest.mark.usefixtures("things")
def test_one_odd_value_in_a_right_body_is_taken_or_refused(api: Api, address: str) -> None:
    api.raise_request_exception = False
    body = RIGHT[address]
    for path in places(body):
        for odd in (*NUMBERS, *TEXTS[10:], [], {}, [None], {"": ""}, ["x"] * 300):
            answer = api.post(f"{api.root}/{address}", replaced(body, path, odd))

            assert acceptable(answer), (path, odd, answer.content[:300])


@pytest.mark.usefixtures("things")
def test_what_was_taken_can_be_run_and_shown(api: Api) -> None:
    """An odd event goes through a whole run, into the row, the lists and back."""
    api.raise_request_exception = False
    event = {
        str(number): odd
        for number, odd in enumerate([*NUMBERS, *TEXTS, "\x1b", "\u0085", "\U0010ffff" * 1000, "a" * 90_000])
    }
    spec = {
        "name": "echo",
        "steps": [
            {
                "id": "push",
                "kind": "action",
                "config": {
                    "action_name": "clay.webhook.submit",
                    "parameters": {"payload": {"email": "${{ event.email ?? 'none' }}", "n": "${{ event }}"}},
                },
            }
        ],
    }
    assert api.post(f"{api.root}/loops", spec).status_code == 201

    for one in [event, {"email": event}, *({"email": odd} for odd in event.values())]:
        started = api.post(f"{api.root}/loops/echo/runs", {"event": one})
        assert started.status_code == 202
    work_off()

    runs = api.get(f"{api.root}/runs?limit=100").json()["items"]
    assert {run["status"] for run in runs} <= {"completed", "failed"}
    for run in runs[:10]:
        assert api.get(f"{api.root}/runs/{run['id']}/steps").status_code == 200
