"""The last calls of a key that were refused: noted without what was sent, few, and shown to those who look for why."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import DatabaseError
from django.test import Client
from django.utils import timezone

from loops.models import Loop
from mobius.projects import refusals
from mobius.projects.key_models import ApiKey, RefusedCall
from mobius.projects.keys import create_key, revoke
from mobius.projects.models import Project
from mobius.projects.refusals import KEPT, note_refusal
from mobius.projects.roles import Role
from tests.cast import Api

pytestmark = pytest.mark.django_db
RUNS = "/v1/projects/platform/loops/push-leads/runs"


def noted() -> list[tuple[str, str, int, str, str]]:
    calls = RefusedCall.objects.order_by("pk")
    return list(calls.values_list("method", "path", "status", "code", "fields"))


def page_of(key: ApiKey, handle: str = "platform") -> str:
    return f"/projects/{handle}/govern/api-keys/{key.pk}/"


def text(response: Any) -> str:
    return " ".join(response.content.decode().split())


def test_a_refused_start_is_noted_with_its_status_and_what_was_wrong_and_nothing_of_what_was_sent(
    api: Api, push_leads: Loop
) -> None:
    api.post(RUNS, {"evnt": {"email": "ada@example.com"}, "idempotency_key": "lead:5"})

    assert noted() == [("POST", RUNS, 400, "bad_request", "evnt")]
    assert "ada" not in str(RefusedCall.objects.values())


def test_every_kind_of_refusal_is_noted_and_what_was_answered_is_not(
    api: Api, api_as: Callable[[Role], Api], push_leads: Loop
) -> None:
    api.post(RUNS, {"event": {"email": "a@b.c"}})
    api.post(RUNS, '{"event": ')
    api.post("/v1/projects/platform/loops/no-such-loop/runs", {})
    api.post("/v1/projects/elsewhere/loops/push-leads/runs", {})
    api_as(Role.CALLBACK).post(RUNS, {})

    assert [one[2:4] for one in noted()] == [
        *((400, "bad_request"), (404, "not_found"), (404, "not_found"), (403, "permission_denied"))
    ]


def test_a_key_that_opens_nothing_leaves_no_note(api: Api, client: Client, push_leads: Loop) -> None:
    revoke(api.key.record)
    assert api.post(RUNS, {}).status_code == 401
    assert client.post(RUNS).status_code == 401

    assert noted() == []


def test_the_last_few_of_each_key_are_kept(api: Api, project: Project) -> None:
    another = create_key(project=project, name="another", role=Role.RUN).record
    note_refusal(another, method="POST", path="/v1/x", status=404, code="not_found")
    for number in range(KEPT + 5):
        note_refusal(api.key.record, method="POST", path=f"/v1/{number}", status=404, code="not_found")

    kept = list(RefusedCall.objects.of_key(api.key.record).values_list("path", flat=True))
    assert kept == [f"/v1/{number}" for number in reversed(range(5, KEPT + 5))]
    assert RefusedCall.objects.of_key(another).count() == 1


def test_a_caller_that_is_refused_without_end_writes_no_more_than_one_a_second(api: Api) -> None:
    def refused(times: int = 1) -> int:
        for _ in range(times):
            note_refusal(api.key.record, method="GET", path="/v1/x", status=404, code="not_found")
        return RefusedCall.objects.latest("pk").pk

    with time_machine.travel(timezone.now(), tick=False) as traveller:
        last = refused(200)
        assert refused() == last
        traveller.shift(timedelta(seconds=1.001))
        assert refused() > last


def test_secrets_and_what_nobody_can_see_are_taken_out(api: Api) -> None:
    path, fields = f"/v1/\x00\u202e{api.key.text}", ["\ud800" * 300]
    note_refusal(api.key.record, method="GET", path=path, status=404, code="x", fields=fields)

    assert noted() == [("GET", "/v1/??mbx_[removed]", 404, "x", "?" * 200)]


def test_a_database_that_takes_no_note_does_not_change_the_answer(
    api: Api, push_leads: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(**fields: Any) -> None:
        raise DatabaseError("disk full")

    monkeypatch.setattr(refusals.RefusedCall.objects, "create", fails)

    assert api.post(RUNS, {"event": 5}).status_code == 400


def test_the_page_of_a_key_lists_them(admin: Client, api: Api, push_leads: Loop) -> None:
    assert f'href="{page_of(api.key.record)}"' in text(admin.get("/projects/platform/govern/api-keys/"))
    assert "No call was refused" in text(admin.get(page_of(api.key.record)))

    api.post(RUNS, {"evnt": {}})

    page = text(admin.get(page_of(api.key.record)))
    assert f"POST {RUNS}" in page
    assert "evnt" in page
    assert api.key.text not in page


def test_the_recipe_shows_which_calls_of_its_keys_were_refused_since_the_last_good_one(
    admin: Client, project: Project, push_leads: Loop
) -> None:
    page = f"/projects/platform/build/loops/{push_leads.pk}/recipe/"
    admin.post(f"{page}key/", {"role": "run"})
    key = ApiKey.objects.get()
    note_refusal(key, method="POST", path=RUNS, status=400, code="bad_request", fields=["event.email"])

    assert "event.email" in text(admin.get(page)).partition("Calls of this recipe that were refused")[2]
    live = f"{page}live/?since=0"
    assert "Calls of this recipe that were refused" in text(admin.get(live))


def test_strangers_and_those_who_may_not_see_keys_find_nothing(
    client: Client, api: Api, bob: User, charlie: User
) -> None:
    address = page_of(api.key.record)
    assert client.get(address).headers["Location"] == f"/login/?next={address}"
    client.force_login(bob)
    assert client.get(address).status_code == 403
    client.force_login(charlie)
    assert client.get(address).status_code == 404
    assert client.get(page_of(api.key.record, "elsewhere")).status_code == 404


def test_a_key_that_there_is_not_is_not_found(admin: Client, project: Project) -> None:
    assert admin.get("/projects/platform/govern/api-keys/cred_nobody/").status_code == 404
