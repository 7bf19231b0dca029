"""A call of an HTTP trigger starts one run for one key, over the secret address alone or with a signature beside it."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from loops.authoring import delete_loop, update_loop
from loops.models import Loop, Run, SourceEvent, Trigger, TriggerSecret
from loops.triggers import calling
from loops.triggers.calling import find_called
from mobius.errors import NotFound
from mobius.projects.models import AuditEvent, Project
from mobius.projects.roles import Role
from tests.cast import Api, work_off
from tests.loops.flow import loop_of
from tests.loops.runs import wait

pytestmark = pytest.mark.django_db
ADA = {"email": "ada@example.com"}


@pytest.fixture
def loop(project: Project) -> Loop:
    return loop_of(project, wait(), triggers=[{"kind": "http", "key": "form"}])


@pytest.fixture
def handle(loop: Loop) -> str:
    return Trigger.objects.get(loop=loop).http_handle


def call(handle: str, body: Any = ADA, *, query: str = "", **headers: str) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return APIClient().generic(
        "POST", f"/v1/triggers/http/{handle}{query}", raw, content_type="application/json", headers=headers
    )


def test_a_call_starts_a_run_that_is_found_by_its_source_event(api: Api, loop: Loop, handle: str) -> None:
    answer = call(handle)

    assert answer.status_code == 202
    receipt = answer.json()
    assert set(receipt) == {"source_event_id", "status"}
    assert receipt["source_event_id"].startswith("sevt_")
    (run,) = api.get(f"{api.root}/runs?source_event_id={receipt['source_event_id']}").json()["items"]
    assert (run["event"], run["loop_id"]) == (ADA, loop.pk)
    assert run["meta"] == {"source_event_id": receipt["source_event_id"], "trigger": "http"}
    assert run["source"]["type"] == "trigger"
    assert api.get(f"{api.root}/runs?source_event_id=sevt_unknown").json()["items"] == []


def test_a_call_of_a_trigger_that_is_deleted_just_then_fails_alone(loop: Loop, handle: str) -> None:
    """Before the transaction that it may share with other starts."""
    found = find_called(handle)
    Trigger.objects.all().delete()

    with pytest.raises(NotFound, match="no such trigger"):
        calling.call(found, ADA)


def test_the_run_s_first_event_says_what_started_it(api: Api, loop: Loop, handle: str) -> None:
    source_event_id = call(handle).json()["source_event_id"]
    by_hand = api.post(f"{api.root}/loops/{loop.pk}/runs", {}).json()["id"]
    work_off()

    by_trigger = Run.objects.get(source_event_id=source_event_id).pk
    first = {run: api.get(f"{api.root}/runs/{run}/events").json()["items"][0] for run in (by_trigger, by_hand)}
    plain = {"loop_id": loop.pk, "loop_version_id": loop.current_version_id}
    fired = {"source_event_id": source_event_id, "trigger_id": Trigger.objects.get(loop=loop).pk}
    assert first[by_trigger]["event_type"] == first[by_hand]["event_type"] == "run.started"
    assert first[by_trigger]["payload"] == plain | fired
    assert first[by_hand]["payload"] == plain


@pytest.mark.parametrize("by", ["query", "header"])
def test_the_same_key_starts_one_run(loop: Loop, handle: str, by: str) -> None:
    key = {"query": "?idempotency_key=lead-1"} if by == "query" else {"X-Idempotency-Key": "lead-1"}
    first, second = call(handle, **key), call(handle, {"email": "other@example.com"}, **key)

    assert second.status_code == 202
    assert second.json() == first.json() | {"deduped": True}
    assert Run.objects.of_loop(loop.pk).count() == 1


def test_the_key_of_the_query_wins_and_another_key_is_another_run(loop: Loop, handle: str) -> None:
    call(handle, query="?idempotency_key=a", **{"X-Idempotency-Key": "b"})
    call(handle, **{"X-Idempotency-Key": "b"})

    assert sorted(SourceEvent.objects.values_list("cause", flat=True)) == ["a", "b"]
    assert Run.objects.of_loop(loop.pk).count() == 2


def test_a_placeholder_for_a_key_does_not_collapse_all_rows_into_one_run(handle: str) -> None:
    call(handle, query="?idempotency_key={{Email}}")
    answer = call(handle, {"email": "bob@example.com"}, query="?idempotency_key={{Email}}")

    assert answer.status_code == 400
    assert "did not fill in" in answer.json()["error"]["message"]


def test_an_unknown_handle_is_404_and_says_nothing_more(project: Project) -> None:
    assert call("trg_unknown").json()["error"] == {"code": "not_found", "message": "There is no such trigger."}


def test_a_paused_loop_is_409_and_keeps_no_key(loop: Loop, handle: str) -> None:
    update_loop(loop, {"status": "paused"})
    answer = call(handle, query="?idempotency_key=a")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "loop_paused")

    update_loop(loop, {"status": "active"})
    assert "deduped" not in call(handle, query="?idempotency_key=a").json()


def test_a_trigger_that_is_switched_off_is_409_and_a_deleted_loop_404(loop: Loop, handle: str) -> None:
    update_loop(loop, {"triggers": [{"kind": "http", "key": "form", "enabled": False}]})
    assert call(handle).status_code == 409

    delete_loop(loop)
    assert call(handle).status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"[]", 400), (b"{", 400), (b'{"a": "' + b"x" * 300_000 + b'"}', 413)],
    ids=["array", "no json", "large"],
)
def test_bad_bodies_are_refused(handle: str, body: bytes, status: int) -> None:
    assert call(handle, body).status_code == status
    assert not SourceEvent.objects.exists()


def test_an_event_that_the_loop_cannot_take_is_refused(project: Project) -> None:
    loop = loop_of(project, wait(), triggers=[{"kind": "http"}], event={"email": {"required": True}})
    answer = call(Trigger.objects.get(loop=loop).http_handle, {"name": "Ada"})

    assert answer.status_code == 400
    assert "event.email" in answer.json()["error"]["details"]["fields"]


def test_a_trigger_with_a_secret_takes_signed_calls_only(api: Api, loop: Loop, handle: str) -> None:
    made = api.post(f"{api.root}/loops/{loop.pk}/triggers/form/secret", {})
    assert made.status_code == 201
    secret = made.json()["signing_secret"]
    raw = b'{"email":  "ada@example.com"}'
    signature = "sha256=" + hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()

    for wrong in ("", "sha256=00", signature[:-1] + "x", "sha256=\u00e9"):
        answer = call(handle, raw, **({"X-Mobius-Signature": wrong} if wrong else {}))
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_signature")
    assert call(handle, raw, **{"X-Mobius-Signature": signature}).status_code == 202

    assert api.delete(f"{api.root}/loops/{loop.pk}/triggers/form/secret").status_code == 204
    assert call(handle, raw).status_code == 202
    assert list(AuditEvent.objects.filter(object_kind="trigger").values_list("action", flat=True).order_by("pk")) == [
        "trigger.demand_signature",
        "trigger.take_unsigned",
    ]


def test_the_secret_is_stored_encrypted_and_shown_once(api: Api, loop: Loop) -> None:
    secret = api.post(f"{api.root}/loops/{loop.pk}/triggers/form/secret", {}).json()["signing_secret"]

    assert TriggerSecret.objects.get().secret == secret
    assert secret not in str(TriggerSecret.objects.extra(select={"raw": "secret"}).values("raw"))
    assert secret not in api.get(f"{api.root}/loops/{loop.pk}").content.decode()


def test_the_secret_is_for_admins_and_for_triggers_that_exist(
    api: Api, api_as: Callable[[Role], Api], stranger_api: Api, loop: Loop
) -> None:
    address = f"/loops/{loop.pk}/triggers/form/secret"

    assert api_as(Role.OPERATOR).post(f"{api.root}{address}", {}).status_code == 403
    assert stranger_api.post(f"{stranger_api.root}{address}", {}).status_code == 404
    assert api.post(f"{api.root}/loops/{loop.pk}/triggers/other/secret", {}).status_code == 404
    assert APIClient().post(f"{api.root}{address}", {}, format="json").status_code == 401


def test_only_who_may_start_runs_sees_the_address(api_as: Callable[[Role], Api], loop: Loop, handle: str) -> None:
    for role in (Role.ADMIN, Role.OPERATOR, Role.VIEWER):
        client = api_as(role)
        one = client.get(f"{client.root}/loops/{loop.pk}").json()["triggers"]
        (listed,) = client.get(f"{client.root}/loops").json()["items"]
        expected = {"kind": "http", "key": "form"}
        if role != Role.VIEWER:
            expected |= {"config": {"http_handle": handle}}
        assert one == listed["triggers"] == [expected]


def test_the_address_stays_when_the_loop_is_saved_anew_and_can_be_chosen(api: Api, loop: Loop, handle: str) -> None:
    update_loop(loop, {"description": "Another one."})
    assert Trigger.objects.get(loop=loop).http_handle == handle

    update_loop(loop, {"triggers": [{"kind": "http", "key": "form", "config": {"http_handle": "our-own-handle"}}]})
    assert (call(handle).status_code, call("our-own-handle").status_code) == (404, 202)


def test_a_handle_belongs_to_one_trigger_everywhere(api: Api, other_project: Project) -> None:
    wanted = [{"kind": "http", "config": {"http_handle": "our-own-handle"}}]
    loop_of(other_project, wait(), triggers=wanted)
    answer = api.post(f"{api.root}/loops", {"name": "mine", "steps": [wait()], "triggers": wanted})

    assert answer.status_code == 400
    assert "triggers[0].config.http_handle" in answer.json()["error"]["details"]["fields"]
    assert not Loop.objects.filter(name="mine").exists()
