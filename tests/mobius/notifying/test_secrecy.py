"""What opens a webhook, or signs for it, stays out of sight, comes under a new key, and harms nobody when lost."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.test import Client

from integrations.rotating import rotate_secrets
from integrations.secrets import SecretTextField, is_current, prove_key
from loops.authoring import create_loop
from loops.models import Loop, Run, TriggerSecret
from loops.triggers.calling import demand_signature, find_http_trigger
from mobius.atonce import WAITING_CALLS
from mobius.errors import RateLimitExceeded
from mobius.notifying import sending
from mobius.notifying.models import Endpoint, Notification, SigningSecret
from mobius.projects.auditing import COMMAND_LINE, SYSTEM
from mobius.projects.models import AuditEvent, Project
from mobius.projects.roles import Role
from tests.cast import PUSH_LEADS, Api
from tests.integrations.keys import NEW_KEY, keys
from tests.integrations.sockets import Server
from tests.mobius.notifying.receiving import Receiver, deliver_due, napping, play, subscribe

pytestmark = pytest.mark.django_db


def stored(model: Any) -> list[str]:
    """Every secret of this table, as it is stored."""
    names = [field.column for field in model._meta.concrete_fields if isinstance(field, SecretTextField)]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(names)} FROM {model._meta.db_table}")
        return [column for row in cursor.fetchall() for column in row if column]


def hooked(project: Project) -> Loop:
    return create_loop(project=project, authored=PUSH_LEADS | {"triggers": [{"kind": "http", "key": "signup-form"}]})


def corrupt(table: str, column: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET {column} = 'gAAAAABcorrupt'")


def test_a_rotation_puts_every_table_with_a_secret_under_the_new_key(
    project: Project, crm: Receiver, settings: Any
) -> None:
    (old,) = settings.FIELD_ENCRYPTION_KEY
    prove_key()
    text = subscribe(project, crm).text
    demand_signature(find_http_trigger(hooked(project), "signup-form"), by=SYSTEM)
    tables = [
        model
        for model in apps.get_models()
        if any(isinstance(field, SecretTextField) for field in model._meta.concrete_fields)
    ]
    assert {Endpoint, SigningSecret, TriggerSecret} <= set(tables)

    with keys(NEW_KEY, old):
        done = rotate_secrets()
        assert [one for model in tables for one in stored(model) if not is_current(one)] == []
        again = rotate_secrets()

    assert (done.complete, again.rotated) == (True, 0)
    with keys(NEW_KEY):
        assert (Endpoint.objects.get().url, SigningSecret.objects.get().secret) == (crm.url, text)


def test_what_no_key_reads_is_named_and_keeps_the_old_key(project: Project, crm: Receiver) -> None:
    prove_key()
    subscribe(project, crm)
    corrupt("notifying_endpoint", "url")

    done = rotate_secrets()

    assert not done.complete
    assert [name.partition(" ")[0] for name in done.unreadable] == ["webhook"]


def test_the_audit_says_whose_secrets_were_encrypted_anew_or_erased(
    project: Project, crm: Receiver, settings: Any
) -> None:
    (old,) = settings.FIELD_ENCRYPTION_KEY
    prove_key()
    subscribe(project, crm)
    demand_signature(find_http_trigger(hooked(project), "signup-form"), by=SYSTEM)
    with keys(NEW_KEY, old):
        rotate_secrets(by=COMMAND_LINE)
        corrupt("notifying_endpoint", "url")
        corrupt("loops_triggersecret", "secret")
        rotate_secrets(forget_unreadable=True, by=COMMAND_LINE)

    lines = AuditEvent.objects.filter(project=project, actor_name="Command line").values_list("action", "object_name")
    assert sorted(lines) == [
        ("trigger.encrypt_anew", "signup-form"),
        ("trigger.forget_secret", "signup-form"),
        ("webhook.encrypt_anew", "crm"),  # its address, and what it is signed with
        ("webhook.encrypt_anew", "crm"),
        ("webhook.forget_secret", "crm"),
    ]


def test_after_a_lost_key_a_webhook_is_switched_off_until_it_has_an_address_and_a_secret_again(
    project: Project, crm: Receiver, api: Api
) -> None:
    endpoint = subscribe(project, crm).endpoint
    path = f"{api.root}/webhooks/{endpoint.pk}"
    prove_key()
    corrupt("notifying_endpoint", "url")
    corrupt("notifying_signingsecret", "secret")
    rotate_secrets(forget_unreadable=True)

    play(napping(project))
    deliver_due()
    assert "was erased. Give it a new one." in Endpoint.objects.get().disabled_because

    api.patch(path, {"url": crm.url, "enabled": True})
    pinged = api.post(f"{path}/ping", {})
    assert (pinged.status_code, pinged.json()["error"]["code"]) == (409, "secret_unreadable")
    assert "Rotate the secret." in pinged.json()["error"]["message"]
    play(napping(project))
    deliver_due()
    assert "Rotate the secret." in Endpoint.objects.get().disabled_because
    assert crm.requests == [], "nothing goes out unsigned"

    api.post(f"{path}/secret/rotate")
    api.patch(path, {"enabled": True})
    assert api.post(f"{path}/ping", {}).json()["success"] is True


def test_after_a_lost_key_a_signed_trigger_takes_nothing_until_it_has_a_secret_again(
    project: Project, client: Client
) -> None:
    trigger = find_http_trigger(hooked(project), "signup-form")
    prove_key()
    demand_signature(trigger, by=SYSTEM)
    corrupt("loops_triggersecret", "secret")
    rotate_secrets(forget_unreadable=True)

    answer = client.post(f"/v1/triggers/http/{trigger.http_handle}", {}, content_type="application/json")

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_signature")
    assert not Run.objects.exists()


def test_an_unreadable_address_switches_its_own_webhook_off_and_harms_nothing_else(
    project: Project, crm: Receiver, api: Api
) -> None:
    subscribe(project, crm)
    subscribe(project, crm, name="other")
    corrupt("notifying_endpoint", "url")
    with_address = Endpoint.objects.get(name="other")
    with_address.url = crm.url  # type: ignore[assignment]
    with_address.save(update_fields=["url"])

    play(napping(project))
    deliver_due()

    broken = Endpoint.objects.get(name="crm")
    assert (broken.enabled, "cannot be decrypted" in broken.disabled_because) == (False, True)
    assert crm.types == ["run.started", "run.completed"], "the other one was told"
    path = f"{api.root}/webhooks/{broken.pk}"
    assert api.get(f"{api.root}/webhooks").status_code == 200
    assert api.get(path).json()["url"] == broken.url_shown
    assert api.patch(path, {"url": crm.url, "enabled": True}).status_code == 200
    assert api.delete(path).status_code == 204


def test_what_a_webhook_was_told_is_shown_also_when_its_address_is_unreadable(
    project: Project, crm: Receiver, admin: Client
) -> None:
    endpoint = subscribe(project, crm).endpoint
    play(napping(project))
    corrupt("notifying_endpoint", "url")
    deliver_due()
    told = Notification.objects.all()[0]
    page = f"/projects/platform/govern/webhooks/{endpoint.pk}/deliveries/{told.pk}/"

    assert admin.get(page).status_code == 200
    answer = admin.post(f"{page}redeliver/", follow=True)
    assert "The webhook is switched off: enable it first." in answer.content.decode()


def test_an_answer_that_repeats_the_address_and_the_signature_is_kept_without_them(
    project: Project, settings: Any, api_as: Any
) -> None:
    def echo(server: Server, connection: Any) -> None:
        asked = server.read_request(connection)
        connection.sendall(b"HTTP/1.1 404 X\r\nContent-Length: %d\r\n\r\n%b" % (len(asked), asked))

    with Server(echo) as server:
        settings.MOBIUS_OUTBOUND_ALLOW = [server.allow]
        endpoint = subscribe(project, server).endpoint
        Endpoint.objects.filter(pk=endpoint.pk).update(url=f"{server.url}/planted-path-999?t=planted-query")
        play(napping(project))
        deliver_due()

    for told in Notification.objects.all():
        viewer = api_as(Role.VIEWER)
        seen = viewer.get(f"{viewer.root}/webhooks/{endpoint.pk}/deliveries/{told.pk}").content.decode()
        assert "POST [removed]" in seen
        assert [one for one in ("planted", "sha256=", "v1,") if one in seen] == []


def test_pings_leave_room_for_other_callers(project: Project, crm: Receiver) -> None:
    endpoint = subscribe(project, crm).endpoint
    leaving = [WAITING_CALLS.enter() for _ in range(8)]
    try:
        with pytest.raises(RateLimitExceeded):
            sending.ping(endpoint)
    finally:
        for leave in leaving:
            leave()
    assert sending.ping(endpoint).success


def test_a_restored_copy_tells_nobody_until_somebody_says_so(project: Project, crm: Receiver) -> None:
    subscribe(project, crm)
    play(napping(project))

    sending.hold_notifications()
    deliver_due()

    assert crm.requests == []
    assert {told.last_error for told in Notification.objects.all()} == {"Held since a restore: redeliver it."}
