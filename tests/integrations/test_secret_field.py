"""Secrets at rest: the four defects of the library that `SecretTextField` closes (safety §1), and no leak to disk."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.core import serializers
from django.core.exceptions import FieldError
from django.db import connection, transaction
from django.db.models import F, Value

from integrations import secrets
from integrations.choosing import open_connection
from integrations.delivering import Order, prepare
from integrations.models import Integration, IntegrationStatus, KeyCheck, Webhook, WebhookSecret
from integrations.providers.clay.simulator import ClaySimulator
from integrations.secrets import SecretTextField, SecretUnreadable, WrongKey, fingerprint, prove_key
from loops.authoring import create_loop
from loops.models import Run
from mobius.projects.models import Project
from mobius.projects.roles import Role
from tests.cast import Api, work_off
from tests.integrations.keys import NEW_KEY, keys

URL = "https://api.clay.com/v3/sources/webhook/planted-url-path"
VALUE = "Bearer planted-header-value"


@pytest.fixture
def webhook(project: Project, api: Api) -> Webhook:
    body = {"webhook_url": URL, "auth_header_name": "Authorization", "auth_header_value": VALUE}
    assert api.post(f"{api.root}/integrations/providers/clay/connect", body).status_code == 200
    return Webhook.objects.get()


def stored(column: str = "url") -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM integrations_webhooksecret")
        return str(cursor.fetchone()[0])


# --- what it does ---


def test_a_secret_is_encrypted_in_the_database_and_plain_in_the_program(webhook: Webhook) -> None:
    secret = WebhookSecret.objects.get()

    assert (secret.url, secret.auth_header_value) == (URL, VALUE)
    for column in ("url", "auth_header_value"):
        assert stored(column).startswith("gAAAA")
        assert "planted" not in stored(column)


@pytest.mark.parametrize("text", ["", "é漢字🙂", "x" * 5000, '{"a": 1}'])
def test_any_text_comes_back_as_it_went_in(webhook: Webhook, text: str) -> None:
    WebhookSecret.objects.update(auth_header_value=text)

    assert WebhookSecret.objects.get().auth_header_value == text


def test_the_same_secret_never_looks_the_same(webhook: Webhook) -> None:
    before = stored()
    WebhookSecret.objects.get().save()

    assert stored() != before


# --- D1: a wrong key is silent ---


def test_a_wrong_key_raises_instead_of_giving_the_ciphertext(webhook: Webhook) -> None:
    with keys(NEW_KEY), pytest.raises(SecretUnreadable, match="Connect again to replace it"):
        WebhookSecret.objects.get()


def test_a_wrong_key_cannot_encrypt_the_ciphertext_once_more(webhook: Webhook) -> None:
    before = stored()

    with keys(NEW_KEY), pytest.raises(SecretUnreadable):
        WebhookSecret.objects.get().save()

    assert stored() == before


def spoil(webhook: Webhook) -> None:
    """As by a hand in the database, or a bad disk."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE integrations_webhooksecret SET url = 'gAAAAspoilt' WHERE webhook_id = %s", [webhook.pk])


def test_an_unreadable_secret_sends_nothing_and_its_integration_asks_to_be_connected_again(webhook: Webhook) -> None:
    spoil(webhook)

    with pytest.raises(SecretUnreadable):
        prepare(Order(project_id=webhook.project_id, action="clay.webhook.submit", parameters={"payload": {}}))

    integration = Integration.objects.get()
    assert integration.status == IntegrationStatus.EXPIRED
    assert "Connect again" in integration.attention


def test_an_unreadable_secret_disables_its_own_integration_alone(webhook: Webhook, api: Api) -> None:
    other = {"webhook_url": URL + "-2", "name": "second"}
    assert api.post(f"{api.root}/integrations/providers/clay/connect", other).status_code == 200
    spoil(webhook)

    order = Order(project_id=webhook.project_id, action="clay.webhook.submit", parameters={"payload": {}})
    with pytest.raises(SecretUnreadable):
        prepare(order)

    assert prepare(replace(order, integration="second")).chosen.connection.webhook_url == URL + "-2"
    assert dict(Integration.objects.values_list("name", "status")) == {"clay": "expired", "second": "active"}


@pytest.mark.parametrize("url", [URL, URL + "-another"])
def test_connecting_again_replaces_an_unreadable_secret(webhook: Webhook, api: Api, url: str) -> None:
    Webhook.objects.update(used=7)
    spoil(webhook)

    assert api.post(f"{api.root}/integrations/providers/clay/connect", {"webhook_url": url}).status_code == 200

    current = Webhook.objects.get(state="current")
    assert open_connection(current).webhook_url == url
    assert current.used == (7 if url == URL else 0), "the same address keeps its count"


def test_an_integration_with_an_unreadable_secret_can_be_disconnected(webhook: Webhook, api: Api) -> None:
    spoil(webhook)

    assert api.delete(f"{api.root}/integrations/{webhook.integration_id}").status_code == 204
    assert not WebhookSecret.objects.exists()


def test_a_process_with_a_wrong_key_blames_no_integration(webhook: Webhook) -> None:
    """Else one process that was not restarted after a rotation would disable them all."""
    with keys(NEW_KEY), pytest.raises(WrongKey):
        prepare(Order(project_id=webhook.project_id, action="clay.webhook.submit", parameters={"payload": {}}))

    assert Integration.objects.get().status == IntegrationStatus.ACTIVE


def test_a_row_that_was_never_encrypted_raises_too(webhook: Webhook) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE integrations_webhooksecret SET url = 'https://plain.example.com'")

    with pytest.raises(SecretUnreadable):
        WebhookSecret.objects.get()


def test_lists_survive_an_unreadable_secret(webhook: Webhook, api: Api) -> None:
    with keys(NEW_KEY):
        assert api.get(f"{api.root}/integrations").status_code == 200
        assert api.get(f"{api.root}/integrations/{webhook.integration_id}").status_code == 200


def test_an_unreadable_secret_is_a_409_and_never_a_500(webhook: Webhook, api: Api) -> None:
    spoil(webhook)
    answer = api.post(f"{api.root}/integrations/{webhook.integration_id}/test", {})

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "secret_unreadable")


def test_the_start_is_refused_with_a_wrong_key_and_says_where_the_right_one_is(db: None) -> None:
    prove_key()
    prove_key()
    assert KeyCheck.objects.count() == 1

    with keys(NEW_KEY), pytest.raises(WrongKey, match=r"Put the right key back.*field_encryption_key"):
        prove_key()


def test_a_new_key_before_the_old_one_reads_both(webhook: Webhook, settings: Any) -> None:
    (old,) = settings.FIELD_ENCRYPTION_KEY

    with keys(NEW_KEY, old):
        prove_key()
        WebhookSecret.objects.get().save()
    with keys(NEW_KEY):
        assert WebhookSecret.objects.get().url == URL


def test_a_wrong_key_writes_no_secret_that_the_right_one_could_not_read(webhook: Webhook, api: Api) -> None:
    before = stored(), stored("auth_header_value")
    with keys(NEW_KEY):
        answers = [
            api.post(f"{api.root}/integrations/providers/clay/connect", {"webhook_url": URL}),
            api.post(f"{api.root}/integrations/providers/clay/connect", {"webhook_url": URL + "-2", "name": "second"}),
        ]

    assert [(one.status_code, one.json()["error"]["code"]) for one in answers] == [(503, "wrong_key")] * 2
    assert (stored(), stored("auth_header_value")) == before


# --- D2: expressions are encrypted as text ---


def test_a_bulk_update_is_refused(webhook: Webhook) -> None:
    secret = WebhookSecret.objects.get()

    with pytest.raises(TypeError, match="cannot be set to an SQL expression"), transaction.atomic():
        WebhookSecret.objects.bulk_update([secret], ["url"])

    assert WebhookSecret.objects.get().url == URL


@pytest.mark.parametrize("expression", [F("auth_header_value"), Value("x")])
def test_an_expression_is_refused(webhook: Webhook, expression: Any) -> None:
    with pytest.raises(TypeError, match="cannot be set to an SQL expression"), transaction.atomic():
        WebhookSecret.objects.update(url=expression)

    assert WebhookSecret.objects.get().url == URL


# --- D3: input is decrypted ---


def test_a_ciphertext_that_somebody_types_stays_a_ciphertext(webhook: Webhook) -> None:
    typed = stored()

    assert SecretTextField().to_python(typed) == typed
    WebhookSecret.objects.update(auth_header_value=typed)

    assert WebhookSecret.objects.get().auth_header_value == typed
    assert WebhookSecret.objects.get().auth_header_value != URL


# --- D4: half a surrogate pair ---


def test_half_a_surrogate_pair_is_refused_with_400(api: Api) -> None:
    body = json.dumps({"webhook_url": URL, "auth_header_name": "x", "auth_header_value": "\ud800"})

    answer = api.generic(
        "POST", f"{api.root}/integrations/providers/clay/connect", body, content_type="application/json"
    )

    assert answer.status_code == 400


# --- it cannot be searched, copied or spilled ---


@pytest.mark.parametrize("lookup", ["url", "url__exact", "url__startswith", "url__in", "url__gt"])
def test_a_secret_cannot_be_searched(webhook: Webhook, lookup: str) -> None:
    with pytest.raises(FieldError, match="cannot be searched"):
        list(WebhookSecret.objects.filter(**{lookup: URL}))


def test_a_secret_may_be_asked_for_its_absence(webhook: Webhook) -> None:
    assert WebhookSecret.objects.filter(url__isnull=False).exists()


@pytest.mark.parametrize("form", ["json", "xml", "python", "jsonl"])
def test_a_secret_is_not_serialised(webhook: Webhook, form: str) -> None:
    with pytest.raises(TypeError, match="not serialised"):
        serializers.serialize(form, WebhookSecret.objects.all())


def test_no_join_loads_a_secret(webhook: Webhook) -> None:
    assert {field.name for field in Webhook._meta.concrete_fields}.isdisjoint({"url", "auth_header_value", "secret"})


def test_neither_a_secret_nor_a_connection_shows_in_a_repr(webhook: Webhook) -> None:
    secret = WebhookSecret.objects.get()

    for shown in (repr(secret), str(secret), repr(open_connection(webhook)), repr(webhook), str(webhook)):
        assert "planted" not in shown


# --- fingerprints ---


def test_a_fingerprint_tells_equal_from_other_without_showing_either(db: None) -> None:
    assert fingerprint(URL) == fingerprint(URL) != fingerprint(URL + "x")
    assert len(fingerprint(URL)) == 64
    assert "planted" not in fingerprint(URL)


def test_another_installation_s_fingerprint_of_the_same_address_is_another(db: None) -> None:
    ours = fingerprint(URL)
    KeyCheck.objects.all().delete()

    assert fingerprint(URL) != ours


def test_the_library_is_used_nowhere_else() -> None:
    users = [
        path.name
        for root in ("integrations", "loops", "mobius")
        for path in (Path(secrets.__file__).parents[1] / root).rglob("*.py")
        if "encrypted_model_fields" in path.read_text() and "migrations" not in path.parts
    ]

    assert users == ["secrets.py"]


# --- canaries ---


@pytest.mark.skipif(connection.vendor != "sqlite", reason="greps the database's file")
def test_no_planted_secret_stands_in_the_database_s_file(
    api: Api, project: Project, clay: ClaySimulator, tmp_path: Path
) -> None:
    """A row with a callback goes out and is answered; then the file is searched for everything that was secret."""
    connect = {
        "webhook_url": clay.url_for("planted-url-path"),
        "auth_header_name": "x-auth",
        "auth_header_value": VALUE,
    }
    api.post(f"{api.root}/integrations/providers/clay/connect", connect | {"rate_per_second": "unlimited"})
    push = {"payload": {"email": "ada@example.com"}, "request_id": "r-1", "callback_url": "${{ callback.url }}"}
    steps = [
        {"id": "push", "kind": "action", "config": {"action_name": "clay.webhook.submit", "parameters": push}},
        {"kind": "wait_for_event", "config": {"event_type": "clay.callback"}},
    ]
    create_loop(project=project, authored={"name": "ask", "schema_version": "1", "steps": steps})
    api.post(f"{api.root}/loops/ask/runs", {})
    work_off()
    token = clay.rows[0].body["callback_url"].rpartition("/")[2]
    api.post(f"/v1/callbacks/{token}", {"score": 7})
    work_off()
    api.post(f"{api.root}/integrations/{Integration.objects.get().pk}/test", {})
    assert Run.objects.get().status == "completed"
    created = api.post(f"{api.root}/api-keys", {"name": "clay", "scope_role_id": Role.RUN}).json()["key"]

    content = database_file(tmp_path)

    assert b"ada@example.com" in content, "the search itself works"
    for planted in ("planted-url-path", "planted-header-value", token, api.key.text, created):
        assert planted.encode() not in content


def database_file(tmp_path: Path) -> bytes:
    with closing(sqlite3.connect(tmp_path / "copy.sqlite3")) as copy:
        copy.executescript("".join(f"{line}\n" for line in connection.connection.iterdump()))
    return (tmp_path / "copy.sqlite3").read_bytes()
