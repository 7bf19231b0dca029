"""The audit: who did what is written down with the deed, shown to the project, and never changed."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.test import Client

from integrations import probing
from integrations.models import Integration
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from mobius.projects import append_only, auditing
from mobius.projects.auditing import SYSTEM, key_holder, person
from mobius.projects.keys import create_key, revoke
from mobius.projects.models import AuditEvent, Project
from mobius.projects.roles import Role
from tests.cast import PUSH_LEADS, Api

pytestmark = pytest.mark.django_db
PAGE = "/projects/platform/govern/audit/"


FORGONE = append_only.SQLITE[1] if connection.vendor == "sqlite" else append_only.POSTGRESQL[2]
"""The tests' own database does without this trigger (tests/conftest.py)."""


@pytest.fixture
def event(project: Project) -> AuditEvent:
    auditing.record(SYSTEM, "loop.pause", project_id=project.pk, kind="loop", id="loop_1", name="push", reason="three")
    return AuditEvent.objects.get(object_id="loop_1")


def actions(**wanted: Any) -> list[str]:
    return list(AuditEvent.objects.filter(**wanted).order_by("id").values_list("action", flat=True))


# --- append-only ---


def test_the_database_refuses_to_change_a_line(event: AuditEvent) -> None:
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        AuditEvent.objects.update(reason="another")
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        event.save()


def test_the_database_refuses_to_delete_a_line(event: AuditEvent) -> None:
    with connection.cursor() as cursor:
        cursor.execute(FORGONE)

    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        event.delete()
    assert AuditEvent.objects.count() == 1


def test_the_database_refuses_to_lose_all_lines_at_once(event: AuditEvent) -> None:
    with connection.cursor() as cursor:
        cursor.execute(FORGONE)
    emptying = "DELETE FROM" if connection.vendor == "sqlite" else "TRUNCATE"

    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"{emptying} projects_auditevent")
    assert AuditEvent.objects.count() == 1


def test_the_database_refuses_to_replace_a_line(event: AuditEvent) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite knows REPLACE")
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("REPLACE INTO projects_auditevent SELECT * FROM projects_auditevent")


def test_the_refusal_can_be_taken_back_by_undoing_the_migration(event: AuditEvent) -> None:
    with connection.cursor() as cursor:
        cursor.execute(FORGONE)
        append_only.allow_changes(None, SimpleNamespace(connection=connection, execute=cursor.execute))

    assert event.delete()[0] == 1


# --- who ---


def test_a_person_a_key_and_the_console_are_told_apart(project: Project, alice: User) -> None:
    key = create_key(project=project, name="ci", role=Role.ADMIN).record

    a_person, a_key = person(alice, ip="10.0.0.1"), key_holder(key)

    assert (a_person.kind, a_person.id, a_person.name, a_person.ip) == ("user", "alice", "alice", "10.0.0.1")
    assert (a_key.kind, a_key.id, a_key.name) == ("api_key", key.pk, "ci")
    assert (SYSTEM.kind, SYSTEM.id) == ("system", "")


def test_overlong_texts_are_cut_rather_than_refused(project: Project) -> None:
    auditing.record(SYSTEM, "a", project_id=project.pk, kind="k", id="i", name="n" * 999, reason="r" * 9999)

    event = AuditEvent.objects.get()
    assert (len(event.object_name), len(event.reason)) == (200, 1000)


# --- what ---


def test_keys_are_audited_when_made_and_revoked(project: Project) -> None:
    key = create_key(project=project, name="ci", role=Role.RUN).record
    revoke(key)
    revoke(key)

    assert actions(object_id=key.pk) == ["api_key.create", "api_key.revoke"]


def test_an_integration_is_audited_from_connecting_to_disconnecting_and_without_its_secrets(
    api: Api, clay: ClaySimulator
) -> None:
    body = {"webhook_url": clay.url, "auth_header_name": "x-auth", "auth_header_value": "planted-secret"}
    api.post(f"{api.root}/integrations/providers/clay/connect", body)
    integration = Integration.objects.get()
    address = f"{api.root}/integrations/{integration.pk}"
    api.put(address, {"status": "inactive"})
    api.put(address, {"status": "active"})
    api.delete(address)

    assert actions(object_kind="integration") == [
        *("integration.connect", "integration.pause", "integration.resume", "integration.disconnect"),
    ]
    by_the_key = AuditEvent.objects.filter(object_kind="integration", actor_id=api.key.record.pk)
    assert by_the_key.count() == 4
    connected = by_the_key.order_by("id")[0]
    assert (connected.ip, connected.object_name) == ("127.0.0.1", "clay")
    assert connected.changed == ["auth_header_name", "auth_header_value", "webhook_url"]
    assert not [row for row in AuditEvent.objects.values() if "planted-secret" in str(row) or clay.url in str(row)]


def test_a_rotation_is_one_line(alice: User, client: Client, integration: Integration) -> None:
    client.force_login(alice)
    fields = {"auth_header_name": "x-auth", "auth_header_value": "planted-secret"}

    client.post(f"/projects/platform/govern/integrations/{integration.pk}/rotate/", fields)

    assert actions(actor_id="alice") == ["integration.rotate"]


def test_settings_and_successors_are_audited_with_the_names_of_what_changed(
    api: Api, integration: Integration, clay: ClaySimulator
) -> None:
    address = f"{api.root}/integrations/{integration.pk}"
    api.put(address, {"name": "leads", "settings": {"burst": 3}})
    api.put(f"{address}/successor", {"webhook_url": clay.url_for("next")})
    api.delete(f"{address}/successor")

    events = list(AuditEvent.objects.filter(actor_id=api.key.record.pk, object_kind="integration").order_by("id"))
    deeds = ["rename", "configure", "stage_successor", "remove_successor"]
    assert [one.action for one in events] == [f"integration.{deed}" for deed in deeds]
    connection_fields = ["auth_header_name", "auth_header_value", "webhook_url"]
    assert [one.changed for one in events] == [["name"], ["burst"], connection_fields, []]


def test_the_console_s_own_pause_of_an_integration_is_audited_with_its_reason(
    integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(*[Behaviour(fail=404)] * 3)
    for _ in range(3):
        probing.probe(integration)

    event = AuditEvent.objects.get(action="integration.pause")
    assert (event.actor_kind, event.object_id) == ("system", integration.pk)
    assert "404" in event.reason


def test_loops_are_audited_with_the_names_of_what_changed(api: Api) -> None:
    loop = api.post(f"{api.root}/loops", PUSH_LEADS).json()
    api.patch(f"{api.root}/loops/{loop['id']}", {"description": "new", "name": PUSH_LEADS["name"], "status": "paused"})
    api.delete(f"{api.root}/loops/{loop['id']}")

    events = list(AuditEvent.objects.filter(object_kind="loop").order_by("id"))
    assert [one.action for one in events] == ["loop.create", "loop.update", "loop.delete"]
    assert events[1].changed == ["description", "status"]


def test_what_is_refused_is_not_audited(api: Api) -> None:
    api.post(f"{api.root}/loops", PUSH_LEADS)
    api.post(f"{api.root}/loops", PUSH_LEADS)  # the name is taken

    assert actions(object_kind="loop") == ["loop.create"]


# --- the list, over the API ---


def test_the_list_over_the_api_is_newest_first(api: Api, event: AuditEvent) -> None:
    answer = api.get(f"{api.root}/audit?limit=1")

    page = answer.json()
    assert (answer.status_code, page["has_more"]) == (200, True)
    shown = page["items"][0]
    assert shown == {
        "id": event.pk,
        "action": "loop.pause",
        "actor": {"kind": "system", "name": "Mobius console"},
        "object": {"kind": "loop", "id": "loop_1", "name": "push"},
        "changed": [],
        "created_at": shown["created_at"],
        "reason": "three",
    }
    older = api.get(f"{api.root}/audit?cursor={page['next_cursor']}").json()["items"]
    assert [one["action"] for one in older] == ["api_key.create"]


def test_the_list_can_be_filtered(api: Api, event: AuditEvent) -> None:
    assert [one["id"] for one in api.get(f"{api.root}/audit?object=loop_1").json()["items"]] == [event.pk]
    assert api.get(f"{api.root}/audit?action=nothing").json()["items"] == []
    assert api.get(f"{api.root}/audit?cursor=nonsense").status_code == 400


def test_others_do_not_see_it(
    stranger_api: Api, api_as: Callable[[Role], Api], client: Client, event: AuditEvent
) -> None:
    assert stranger_api.get("/v1/projects/platform/audit").status_code == 404
    assert api_as(Role.RUN).get("/v1/projects/platform/audit").status_code == 403
    assert client.get("/v1/projects/platform/audit").status_code == 401
    assert event.pk not in stranger_api.get(f"{stranger_api.root}/audit").content.decode()


# --- the page ---


def test_the_page_shows_who_did_what(client: Client, vera: User, event: AuditEvent) -> None:
    client.force_login(vera)

    response = client.get(PAGE)

    shown = response.content.decode()
    assert response.status_code == 200
    assert all(text in shown for text in ("Mobius console", "loop.pause", "loop_1", "three"))
    assert client.get(PAGE + "?cursor=nonsense").status_code == 400


def test_the_page_says_when_nothing_was_done(client: Client, vera: User) -> None:
    client.force_login(vera)

    assert "Nothing was done yet" in client.get(PAGE).content.decode()


def test_the_page_is_not_for_strangers(client: Client, charlie: User, project: Project) -> None:
    assert client.get(PAGE).status_code == 302
    client.force_login(charlie)
    assert client.get(PAGE).status_code == 404


def test_what_is_written_is_text_and_never_markup(client: Client, vera: User, project: Project) -> None:
    auditing.record(SYSTEM, "x", project_id=project.pk, kind="k", id="i", reason="<script>alert(1)</script>")
    client.force_login(vera)

    page = client.get(PAGE).content.decode()
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page
