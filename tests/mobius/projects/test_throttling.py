"""What one key, and one address, may ask for: with the counts in memory, and with counts that processes share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from mobius.errors import RateLimitExceeded
from mobius.projects import throttling
from mobius.projects.keys import create_key, revoke
from mobius.projects.models import Project, Throttle
from mobius.projects.roles import Role
from tests.cast import Api

NOW = timezone.now().replace(microsecond=0)
WRONG = "mbx_" + "a" * 43 + "000000"


@pytest.fixture(params=["memory", "shared"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, db: None) -> str:
    monkeypatch.setattr(throttling, "_SHARED", request.param == "shared")
    return str(request.param)


def taken(take: Callable[[], None], most: int = 10_000) -> int:
    """How often it goes well before it is refused."""
    for number in range(most):
        try:
            take()
        except RateLimitExceeded:
            return number
    return most


def test_as_many_as_the_limit_says_and_not_one_more(store: str) -> None:
    with time_machine.travel(NOW, tick=False):
        assert taken(lambda: throttling.note_failed_key("192.0.2.1")) == 60


def test_afterwards_one_a_second(store: str) -> None:
    with time_machine.travel(NOW, tick=False) as traveller:
        taken(lambda: throttling.note_failed_key("192.0.2.1"))
        for _ in range(3):
            traveller.shift(timedelta(seconds=1.001))
            assert taken(lambda: throttling.note_failed_key("192.0.2.1")) == 1


def test_a_minute_s_rest_gives_a_minute_s_worth_and_an_hour_s_no_more(store: str) -> None:
    with time_machine.travel(NOW, tick=False) as traveller:
        for rest in (61, 3600):
            taken(lambda: throttling.note_failed_key("192.0.2.1"))
            traveller.shift(timedelta(seconds=rest))
            assert taken(lambda: throttling.note_failed_key("192.0.2.1")) == 60


def test_retry_after_is_honest(store: str, settings: Any, api: Api) -> None:
    settings.MOBIUS_KEY_REQUESTS_PER_MINUTE = 6  # one every ten seconds
    key = api.key.record
    with time_machine.travel(NOW, tick=False) as traveller:
        assert taken(lambda: throttling.take_request(key)) == 6
        with pytest.raises(RateLimitExceeded) as refused:
            throttling.take_request(key)
        wait = refused.value.retry_after_seconds
        traveller.shift(timedelta(seconds=wait - 0.5))
        assert taken(lambda: throttling.take_request(key)) == 0
        traveller.shift(timedelta(seconds=0.6))
        assert taken(lambda: throttling.take_request(key)) == 1

    assert 9 < wait <= 10
    assert (refused.value.limit, refused.value.remaining, refused.value.policy) == (6, 0, "6;w=60")
    assert refused.value.reset_at == int(NOW.timestamp()) + 10


def test_a_clock_that_stepped_back_shuts_nobody_out(store: str) -> None:
    with time_machine.travel(NOW, tick=False):
        taken(lambda: throttling.note_failed_key("192.0.2.1"))
    with time_machine.travel(NOW - timedelta(days=1), tick=False):
        assert taken(lambda: throttling.note_failed_key("192.0.2.1")) > 0


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("no address", "", False),
    ],
)
def test_an_address_is_counted_by_itself_and_ipv6_by_its_network(store: str, one: str, other: str, alike: bool) -> None:
    with time_machine.travel(NOW, tick=False):
        taken(lambda: throttling.note_failed_key(one))

        assert taken(lambda: throttling.note_failed_key(other)) == (0 if alike else 60)


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttling, "_SHARED", False)
    monkeypatch.setattr(throttling, "_MOST_REMEMBERED", 100)
    for number in range(1000):
        throttling.note_failed_key(f"192.0.{number // 256}.{number % 256}")

    assert len(throttling._memory._tat) <= 101


@pytest.mark.parametrize(
    ("method", "path", "refused"), [("get", "/metrics", 401), ("post", "/v1/triggers/http/nobodys-handle", 404)]
)
def test_guessing_at_other_doors_is_counted_too(
    store: str, client: Client, method: str, path: str, refused: int
) -> None:
    headers = {"Authorization": f"Bearer {WRONG}"}
    got = [
        getattr(client, method)(path, headers=headers, content_type="application/json").status_code for _ in range(70)
    ]

    assert (got[0], got[-1]) == (refused, 429)


def test_many_threads_together_get_no_more_than_one() -> None:
    went_well = []

    def ask() -> None:
        for _ in range(30):
            with suppress(RateLimitExceeded):
                throttling._memory.take(throttling.FAILED_KEYS, "somebody", NOW.timestamp())
                went_well.append(1)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(went_well) == 60


# --- shared by processes ---


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch, db: None) -> None:
    monkeypatch.setattr(throttling, "_SHARED", True)


def test_two_processes_share_one_limit(shared: None) -> None:
    with time_machine.travel(NOW, tick=False):
        for _ in range(30):
            throttling.note_failed_key("192.0.2.1")
        throttling._blocks.forget()  # another process knows nothing of ours

        assert taken(lambda: throttling.note_failed_key("192.0.2.1")) == 30


def test_a_generous_limit_is_taken_in_blocks_so_that_few_requests_write(
    shared: None, settings: Any, api: Api, django_assert_max_num_queries: Any
) -> None:
    settings.MOBIUS_KEY_REQUESTS_PER_MINUTE = 60_000
    with time_machine.travel(NOW, tick=False):
        with django_assert_max_num_queries(11):
            for _ in range(1000):
                throttling.take_request(api.key.record)
        total = 1000 + taken(lambda: throttling.take_request(api.key.record), most=100_000)

    assert total == 60_000


def test_old_counts_are_cleared_away(shared: None, monkeypatch: pytest.MonkeyPatch) -> None:
    Throttle.objects.create(id="failed-keys:192.0.2.9", tat=NOW.timestamp() - 7200)
    monkeypatch.setattr(throttling, "_TIDIES_UP", 1.0)
    with time_machine.travel(NOW, tick=False):
        throttling.note_failed_key("192.0.2.1")

    assert list(Throttle.objects.values_list("pk", flat=True)) == ["failed-keys:192.0.2.1"]


# --- at the doors ---


def test_a_key_that_asks_too_often_is_told_when_to_come_back(api: Api, api_as: Any, settings: Any) -> None:
    settings.MOBIUS_KEY_REQUESTS_PER_MINUTE = 2
    other = api_as(Role.VIEWER)
    address = f"{api.root}/runs"
    answers = [api.get(address) for _ in range(3)]

    assert [one.status_code for one in answers] == [200, 200, 429]
    refused = answers[-1]
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert 1 <= int(refused["Retry-After"]) <= 30
    assert refused["X-RateLimit-Limit"] == "2"
    assert refused["X-RateLimit-Remaining"] == "0"
    assert refused["X-RateLimit-Scope"] == "key"
    assert refused["X-RateLimit-Policy"] == "2;w=60"
    assert 0 < int(refused["X-RateLimit-Reset"]) - time.time() <= 31
    assert other.get(address).status_code == 200, "another key of the project has its own"


def test_no_limit_when_it_is_set_to_none(api: Api, settings: Any) -> None:
    settings.MOBIUS_KEY_REQUESTS_PER_MINUTE = 0

    assert {api.get(f"{api.root}/runs").status_code for _ in range(20)} == {200}


def _ask(client: Client, credential: str, address: str = "192.0.2.1") -> Any:
    return client.get("/v1/projects", HTTP_AUTHORIZATION=f"Bearer {credential}", REMOTE_ADDR=address)


def test_wrong_keys_are_throttled_per_address_and_a_right_one_still_opens(client: Client, api: Api) -> None:
    """All of Clay's customers come from Clay's few addresses."""
    answers = [_ask(client, WRONG).status_code for _ in range(70)]

    assert answers[:60] == [401] * 60
    assert answers[-1] == 429
    refused = _ask(client, WRONG)
    assert int(refused["Retry-After"]) == 1
    assert "X-RateLimit-Scope" not in refused, "it is no key's limit"
    assert _ask(client, api.key.text).status_code == 200
    assert _ask(client, WRONG, "192.0.2.2").status_code == 401


@pytest.mark.parametrize("ended", ["revoked", "expired"])
def test_keys_that_have_ended_count_as_wrong_ones(client: Client, project: Project, ended: str) -> None:
    key = create_key(project=project, name="old", role=Role.ADMIN, expires_at=timezone.now() + timedelta(hours=1))
    if ended == "revoked":
        revoke(key.record)
    with time_machine.travel(timezone.now() + timedelta(hours=2), tick=False):
        answers = [_ask(client, key.text).status_code for _ in range(61)]

    assert answers == [401] * 60 + [429]


def test_without_any_key_it_is_401_and_counts_for_nothing(client: Client, api: Api) -> None:
    assert {client.get("/v1/projects").status_code for _ in range(70)} == {401}
    assert _ask(client, WRONG, "127.0.0.1").status_code == 401


def test_callback_addresses_that_were_never_given_out_are_throttled_per_address(client: Client, db: None) -> None:
    def post(token: str, address: str = "192.0.2.1") -> Any:
        return client.post(f"/v1/callbacks/{token}", {}, content_type="application/json", REMOTE_ADDR=address)

    answers = [post(f"unknown-{number}").status_code for number in range(61)]

    assert answers == [404] * 60 + [429]
    assert int(post("unknown")["Retry-After"]) == 1
    assert post("unknown", "192.0.2.2").status_code == 404


def test_a_wrong_key_at_the_door_for_callbacks_counts_too(client: Client, db: None) -> None:
    answers = [
        client.post(
            "/v1/callbacks/unknown", {}, content_type="application/json", HTTP_AUTHORIZATION=f"Bearer {WRONG}"
        ).status_code
        for _ in range(61)
    ]

    assert answers == [401] * 60 + [429]
