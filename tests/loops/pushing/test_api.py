"""Pushes over the API: a file goes in, a dry run comes out, and a job can be watched, paused and ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from integrations.models import Integration
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from loops.models import Push, PushRow
from mobius.projects.models import AuditEvent
from mobius.projects.roles import Role
from tests.cast import Api
from tests.loops.pushing.pushes import LEADS, checked, fresh, go_on, leads, started, to_the_end

pytestmark = pytest.mark.django_db


def upload(api: Api, raw: bytes, content_type: str = "text/csv", query: str = "integration=clay&name=leads.csv") -> Any:
    return api.generic("POST", f"{api.root}/pushes?{query}", raw, content_type=content_type)


def test_a_file_is_uploaded_checked_started_and_watched_to_its_end(
    api: Api, integration: Integration, clay: ClaySimulator
) -> None:
    made = upload(api, LEADS.encode())
    assert made.status_code == 201
    one = f"{api.root}/pushes/{made.json()['id']}"
    assert made.json()["columns"] == ["request_id", "Email"]
    assert (made.json()["rows"], made.json()["state"], made.json()["format"]) == (3, "draft", "csv")

    report = api.post(f"{one}/check", {"keys": {"Email": "email"}}).json()
    assert report["check"] == {"ready": 3, "reasons": {}}
    assert report["keys"] == {"request_id": "request_id", "Email": "email"}
    assert report["forecast"]["rows"] == 3
    assert report["forecast"]["usage"]["left"] == 50_000
    assert not clay.rows

    begun = api.post(f"{one}/start")
    assert begun.status_code == 202
    assert begun.json()["state"] == "running"
    assert api.get(one).json()["counts"] == {"waiting": 3}

    to_the_end(Push.objects.get())
    ended = api.get(one).json()
    assert (ended["state"], ended["counts"]) == ("completed", {"sent": 3})
    assert [row.body["email"] for row in clay.rows] == ["ada@example.com", "grace@example.com", "alan@example.com"]
    assert api.get(f"{api.root}/pushes").json()["items"][0]["id"] == ended["id"]


@pytest.mark.parametrize("content_type", ["application/x-ndjson", "application/jsonl", "text/csv; charset=utf-8"])
def test_json_lines_are_told_by_what_they_hold(api: Api, integration: Integration, content_type: str) -> None:
    made = upload(api, b'{"a": 1}\n{"b": [2]}\n', content_type)

    assert made.status_code == 201
    assert (made.json()["format"], made.json()["columns"]) == ("jsonl", ["a", "b"])


def test_rows_can_be_given_as_json(api: Api, integration: Integration) -> None:
    made = api.post(f"{api.root}/pushes", {"integration": integration.pk, "rows": [{"a": 1.5, "b": {"c": None}}]})

    assert made.status_code == 201
    assert PushRow.objects.get().content == '{"a":1.5,"b":{"c":null}}'


@pytest.mark.parametrize(
    ("raw", "query", "place"),
    [
        (b"", "integration=clay", "rows"),
        (LEADS.encode(), "", "integration"),
        (LEADS.encode(), "integration=nobody", "integration"),
    ],
)
def test_what_is_missing_is_named(api: Api, integration: Integration, raw: bytes, query: str, place: str) -> None:
    answer = upload(api, raw, query=query)

    assert answer.status_code == 400
    assert place in answer.json()["error"]["details"]["fields"]


def test_a_file_that_cannot_be_read_is_refused_with_its_line_and_leaves_nothing(
    api: Api, integration: Integration
) -> None:
    answer = upload(api, b'a,b\n1,"open\n')

    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "Line 2: a quote is opened there and never closed."
    assert not Push.objects.exists()


def test_a_file_that_is_too_large_is_413(api: Api, integration: Integration) -> None:
    answer = upload(api, b"a\n" + b"x" * (25 * 2**20))

    assert answer.status_code == 413
    assert answer.json()["error"]["message"] == "The file is larger than 25 MB. Split it."


def test_a_mapping_that_does_not_fit_is_refused_at_its_place(api: Api, integration: Integration) -> None:
    one = f"{api.root}/pushes/{upload(api, LEADS.encode()).json()['id']}"

    answer = api.post(f"{one}/check", {"keys": {"Emial": "email"}, "request_id": "nobody"})

    assert answer.status_code == 400
    assert set(answer.json()["error"]["details"]["fields"]) == {"keys.Emial", "request_id"}


def test_nothing_starts_that_was_not_checked(api: Api, integration: Integration, clay: ClaySimulator) -> None:
    one = f"{api.root}/pushes/{upload(api, LEADS.encode()).json()['id']}"

    answer = api.post(f"{one}/start")

    assert answer.status_code == 409
    assert "was not checked" in answer.json()["error"]["message"]


def test_two_starts_start_it_once(api: Api, integration: Integration, clay: ClaySimulator) -> None:
    push = checked(integration)

    answers = [api.post(f"{api.root}/pushes/{push.pk}/start").status_code for _ in range(2)]

    assert answers == [202, 409]
    to_the_end(push)
    assert len(clay.rows) == 3


def test_it_is_paused_resumed_and_cancelled(api: Api, integration: Integration) -> None:
    push = go_on(started(integration, leads(100)))
    one = f"{api.root}/pushes/{push.pk}"

    assert api.post(f"{one}/pause").json()["state"] == "paused"
    assert api.post(f"{one}/resume").json()["state"] == "running"
    assert api.post(f"{one}/cancel").json()["state"] == "cancelled"
    assert api.post(f"{one}/resume").status_code == 409
    assert to_the_end(push).state == "cancelled"


def test_a_push_whose_file_is_still_being_read_is_not_there_yet(api: Api, integration: Integration) -> None:
    push = checked(integration)
    Push.objects.update(state="reading")
    one = f"{api.root}/pushes/{push.pk}"

    assert [api.get(one).status_code, api.post(f"{one}/cancel").status_code] == [404, 404]
    assert api.get(f"{api.root}/pushes").json()["items"] == []
    assert Push.objects.filter(pk=push.pk).exists(), "it is not taken away under its upload"


def test_what_failed_is_a_file(api: Api, integration: Integration, clay: ClaySimulator) -> None:
    clay.next_answers(Behaviour(fail=400))
    push = to_the_end(started(integration))

    answer = api.get(f"{api.root}/pushes/{push.pk}/failed")

    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="failed-{push.pk}.csv"'
    assert (
        b"".join(answer.streaming_content).decode("utf-8-sig").startswith("push_line,push_error,request_id,Email\r\n2,")
    )


@pytest.mark.parametrize(("role", "status"), [(Role.VIEWER, 403), (Role.RUN, 403), (Role.OPERATOR, 201)])
def test_operators_push_and_viewers_watch(
    api_as: Callable[[Role], Api], integration: Integration, role: Role, status: int
) -> None:
    push = checked(integration)

    assert upload(api_as(role), LEADS.encode()).status_code == status
    assert api_as(Role.VIEWER).get(f"{api_as(role).root}/pushes/{push.pk}").status_code == 200
    assert api_as(Role.RUN).get(f"{api_as(role).root}/pushes/{push.pk}").status_code == 403


def test_a_stranger_s_push_is_not_there(stranger_api: Api, integration: Integration) -> None:
    push = started(integration)

    for path in ("", "/check", "/start", "/pause", "/resume", "/cancel"):
        call = stranger_api.post if path else stranger_api.get
        assert call(f"{stranger_api.root}/pushes/{push.pk}{path}").status_code == 404
    assert stranger_api.get(f"{stranger_api.root}/pushes/{push.pk}/failed").status_code == 404
    assert fresh(push).state == "running"


def test_a_push_to_another_project_s_integration_is_refused(
    stranger_api: Api, integration: Integration, clay: ClaySimulator
) -> None:
    for name in (integration.name, integration.pk):
        assert upload(stranger_api, LEADS.encode(), query=f"integration={name}").status_code == 400


def test_the_audit_says_who_pushed_what_and_holds_no_row(api: Api, integration: Integration) -> None:
    one = f"{api.root}/pushes/{upload(api, LEADS.encode()).json()['id']}"
    api.post(f"{one}/check")
    api.post(f"{one}/start")

    lines = list(AuditEvent.objects.filter(object_kind="push").order_by("id"))

    assert [line.action for line in lines] == ["push.create", "push.check", "push.start"]
    assert {line.object_name for line in lines} == {"leads.csv"}
    assert lines[-1].reason == "3 rows to clay."
    assert "example.com" not in str([list(vars(line).values()) for line in lines])
