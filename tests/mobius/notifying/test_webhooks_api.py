"""`/v1/projects/{project}/webhooks` in the contract's shape, and the log of deliveries."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import close_old_connections, connections
from django.test import Client

from mobius.notifying import subscribing
from mobius.notifying.models import Endpoint, Notification, SigningSecret
from mobius.notifying.subscribing import WebhookLimitReached
from mobius.projects.models import AuditEvent, Project
from mobius.projects.roles import Role
from tests.cast import Api
from tests.mobius.notifying.receiving import Receiver, deliver_due, napping, play, subscribe

pytestmark = pytest.mark.django_db
REQUIRED = {"id", "name", "url", "events", "enabled", "created_at", "updated_at"}
OPTIONAL = {"created_by", "updated_by", "tags", "secret_ref"}
URL = "https://hooks.example.com/in/abcdefgh"


def made(api: Api, **fields: Any) -> dict[str, Any]:
    answer = api.post(f"{api.root}/webhooks", {"name": "crm", "url": URL} | fields)
    assert answer.status_code == 201, answer.content
    return dict(answer.json())


def test_a_webhook_is_made_read_changed_and_deleted(api: Api) -> None:
    webhook = made(api, events=["run.*"], tags={"team": "sales"})
    assert set(webhook) - OPTIONAL == REQUIRED | {"signing_secret", "secret_version"}
    assert webhook["signing_secret"].startswith("whsec_")
    assert (webhook["secret_ref"], webhook["secret_version"]) == (f"mobius/webhook/{webhook['id']}", 1)

    address = f"{api.root}/webhooks/{webhook['id']}"
    read = api.get(address).json()
    assert set(read) - OPTIONAL == REQUIRED
    assert (read["url"], read["events"], read["enabled"], read["tags"]) == (URL, ["run.*"], True, {"team": "sales"})
    changed = api.patch(address, {"enabled": False, "events": []}).json()
    assert (changed["enabled"], changed["events"], changed["url"]) == (False, [], URL)
    assert [one["id"] for one in api.get(f"{api.root}/webhooks?enabled=false").json()["items"]] == [webhook["id"]]
    assert api.get(f"{api.root}/webhooks?enabled=true").json() == {"items": [], "has_more": False}
    assert api.delete(address).status_code == 204
    assert api.get(address).status_code == 404
    actions = AuditEvent.objects.filter(object_kind="webhook").order_by("pk").values_list("action", flat=True)
    assert list(actions) == ["webhook.create", "webhook.update", "webhook.delete"]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"name": " "}, "name"),
        ({"name": None}, "name"),
        ({"url": "http://hooks.example.com/"}, "url"),
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"events": ["run.exploded"]}, "events"),
        ({"events": "run.failed"}, "events"),
        ({"tags": {"mobius:x": "y"}}, "tags"),
        ({"secret": "mine"}, "secret"),
    ],
)
def test_what_cannot_be_is_refused_naming_the_field(api: Api, fields: dict[str, Any], named: str) -> None:
    answer = api.post(f"{api.root}/webhooks", {"name": "crm", "url": URL} | fields)

    assert answer.status_code == 400
    assert named in answer.json()["error"]["details"]["fields"]
    assert not Endpoint.objects.exists()


def test_a_name_is_taken_once(api: Api) -> None:
    made(api)
    answer = api.post(f"{api.root}/webhooks", {"name": "crm"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "already_exists")


def test_a_project_has_so_many_webhooks_and_no_more(
    api: Api, stranger_api: Api, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscribing, "MOST_ENDPOINTS", 2)
    webhook = made(api, enabled=False)
    made(api, name="erp")

    refused = api.post(f"{api.root}/webhooks", {"name": "slack", "url": URL})

    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "webhook_limit_reached")
    assert refused.json()["error"]["message"].startswith("This project has 2 webhooks, which is as many as it may have")
    assert api.patch(f"{api.root}/webhooks/{webhook['id']}", {"enabled": True}).status_code == 200
    assert stranger_api.post(f"{stranger_api.root}/webhooks", {"name": "slack"}).status_code == 201
    assert api.delete(f"{api.root}/webhooks/{webhook['id']}").status_code == 204
    made(api, name="slack")


@pytest.mark.django_db(transaction=True)
def test_of_two_who_ask_for_the_last_place_at_once_one_gets_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscribing, "MOST_ENDPOINTS", 1)
    together = Barrier(2)

    def ask(name: str) -> str:
        close_old_connections()
        together.wait()
        try:
            subscribe(project, None, name=name)
        except WebhookLimitReached:
            return "refused"
        finally:
            connections.close_all()
        return "made"

    with ThreadPoolExecutor(2) as pool:
        said = sorted(pool.map(ask, ["crm", "erp"]))

    assert said == ["made", "refused"]
    assert Endpoint.objects.count() == 1


def test_roles_and_strangers(api: Api, api_as: Callable[[Role], Api], stranger_api: Api) -> None:
    webhook = made(api)
    address = f"{api.root}/webhooks/{webhook['id']}"

    seen = api_as(Role.VIEWER).get(address).json()
    assert seen["url"] == "https://hooks.example.com/…efgh"
    assert api_as(Role.OPERATOR).patch(address, {"enabled": False}).status_code == 403
    assert api_as(Role.OPERATOR).post(f"{address}/ping", {"url": URL}).status_code == 403
    assert api_as(Role.RUN).get(address).status_code == 403
    assert stranger_api.get(f"{stranger_api.root}/webhooks/{webhook['id']}").status_code == 404
    assert Client().get(address).status_code == 401


def test_a_secret_is_shown_when_it_is_made_and_never_again(api: Api) -> None:
    webhook = made(api)
    address = f"{api.root}/webhooks/{webhook['id']}"
    rotated = api.post(f"{address}/secret/rotate", {}).json()

    assert set(rotated) == {"secret_ref", "secret_version", "signing_secret"}
    assert rotated["secret_version"] == 2
    assert rotated["signing_secret"] != webhook["signing_secret"]
    everything = b"".join(api.get(one).content for one in (address, f"{api.root}/webhooks", f"{api.root}/audit"))
    for secret in (webhook["signing_secret"], rotated["signing_secret"]):
        assert secret.encode() not in everything
        assert secret not in str(list(SigningSecret.objects.extra(select={"raw": "secret"}).values("raw")))


def test_a_url_can_be_pinged_before_it_is_saved(api: Api, crm: Receiver) -> None:
    webhook = made(api, url="")
    address = f"{api.root}/webhooks/{webhook['id']}"

    assert api.post(f"{address}/ping", {}).status_code == 400
    pinged = api.post(f"{address}/ping", {"url": crm.url}).json()
    assert (pinged["success"], pinged["status_code"]) == (True, 200)
    assert set(pinged) == {"success", "status_code", "latency_ms"}
    ((headers, body),) = crm.received
    assert crm.types == ["ping"]
    assert headers["x-mobius-event-type"] == "ping"
    assert body
    assert api.get(address).json()["url"] == ""

    crm.statuses = [500]
    failed = api.post(f"{address}/ping", {"url": crm.url}).json()
    assert (failed["success"], failed["status_code"], failed["error"]) == (False, 500, "It was answered with 500.")
    assert api.post(f"{address}/ping", {"url": "https://10.0.0.1/"}).status_code == 400


def test_the_log_of_deliveries_with_bodies_and_redelivery(
    api: Api, api_as: Callable[[Role], Api], stranger_api: Api, project: Project, crm: Receiver
) -> None:
    endpoint = subscribe(project, crm, events=["run.completed"]).endpoint
    crm.statuses = [404, 200]
    run = play(napping(project))
    deliver_due()
    log = f"{api.root}/webhooks/{endpoint.pk}/deliveries"

    page = api.get(log).json()
    assert page["has_more"] is False
    (listed,) = page["items"]
    assert listed | {"created_at": ""} == {
        "id": Notification.objects.get().pk,
        "webhook_id": endpoint.pk,
        "run_id": run.pk,
        "event_type": "run.completed",
        "status": "failed",
        "attempts": 1,
        "last_error": "It was answered with 404.",
        "created_at": "",
    }
    whole = api.get(f"{log}/{listed['id']}").json()
    assert whole["body"].startswith('{"type":"run.completed"')
    assert (whole["response"], [one["status_code"] for one in whole["tries"]]) == ("OK", [404])

    again = f"{log}/{listed['id']}/redeliver"
    assert api_as(Role.VIEWER).post(again, {}).status_code == 403
    assert api_as(Role.OPERATOR).post(again, {}).status_code == 202
    assert api.post(again, {}).status_code == 409
    deliver_due()
    assert api.get(log).json()["items"][0]["status"] == "delivered"
    assert stranger_api.get(f"{stranger_api.root}/webhooks/{endpoint.pk}/deliveries").status_code == 404
    assert api.get(f"{log}/whd_unknown").status_code == 404
