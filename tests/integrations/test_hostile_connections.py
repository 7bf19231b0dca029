"""Hostile addresses and headers through both doors, when they are saved and again when something is sent."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from integrations.models import Attempt, Integration, Webhook, WebhookSecret
from integrations.providers.clay.submit import SUBMIT
from integrations.providers.errors import ActionInputInvalid
from mobius.projects.models import Project
from tests.cast import Api
from tests.integrations.hostile import HOSTILE, resolve_to
from tests.integrations.sockets import OK, Server, answers
from tests.integrations.test_headers import FORBIDDEN

CONNECT = "integrations/providers/clay/connect"
PAGE = "/projects/platform/govern/integrations/clay/connect/"


@pytest.mark.parametrize("url", HOSTILE)
def test_a_hostile_url_is_refused_or_leads_nowhere_through_both_doors(
    api: Api, client: Client, alice: User, dialled: list[Any], url: str
) -> None:
    """An address that can be judged is refused at once; a name is judged at each send, here by a test."""
    client.force_login(alice)
    by_api = api.post(f"{api.root}/{CONNECT}", {"webhook_url": url})
    by_page = client.post(PAGE, {"webhook_url": url, "test": "1"})

    assert dialled == []
    if by_api.status_code == 400:
        assert set(by_api.json()["error"]["details"]["fields"]) == {"webhook_url"}
        assert by_page.status_code == 422
        assert not Integration.objects.exists()
        return
    assert by_page.status_code == 302
    for integration in Integration.objects.all():
        answer = api.post(f"{api.root}/integrations/{integration.pk}/test", {})
        assert answer.status_code == 200
        assert (answer.json()["failure"], answer.json()["state"]) == ("unreachable", "not_sent")
    assert dialled == []
    assert set(Attempt.objects.values_list("state", "failure")) == {("not_sent", "unreachable")}


def test_a_blocked_name_and_an_unknown_one_are_told_in_the_very_same_words(
    api: Api, client: Client, alice: User, dialled: list[Any]
) -> None:
    client.force_login(alice)
    said, shown = [], []
    for name in ("private.test", "metadata.test", "both.test", "unknown.test"):
        connected = api.post(f"{api.root}/{CONNECT}", {"webhook_url": f"https://{name}/x", "name": "probe"})
        path = f"{connected.json()['integration']['id']}/test"
        told = api.post(f"{api.root}/integrations/{path}", {})
        said.append({key: value for key, value in told.json().items() if key not in ("delivery_id", "latency_ms")})
        page = client.post(f"/projects/platform/govern/integrations/{path}/", {"row": "{}"}, follow=True)
        outcome = Attempt.objects.order_by("-pk").values("state", "failure", "error_message", "response").first()
        shown.append((page.status_code, outcome))

    assert all(one == said[0] for one in said), said
    assert all(one == shown[0] for one in shown), shown
    assert said[0]["stages"] == []
    assert dialled == []


def test_after_the_one_look_up_nothing_is_done_that_could_tell_a_blocked_name_by_its_time(
    api: Api, dialled: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a second look-up nor a socket: the answer comes as soon as the name server has spoken."""
    asked = resolve_to(monkeypatch, {"private.test": [["10.0.0.1"] * 50]})
    monkeypatch.setattr(socket, "socket", None)
    for name in ("private.test", "unknown.test"):
        connected = api.post(f"{api.root}/{CONNECT}", {"webhook_url": f"https://{name}/x", "name": "probe"})
        api.post(f"{api.root}/integrations/{connected.json()['integration']['id']}/test", {})

    assert asked == ["private.test", "unknown.test"]
    assert dialled == []


def test_a_redirect_into_the_house_is_an_answer_and_is_not_followed(api: Api, settings: Any) -> None:
    with Server(answers(OK)) as inside:
        go = f"HTTP/1.1 307 Go\r\nLocation: {inside.url}\r\nContent-Length: 0\r\n\r\n".encode()
        with Server(answers(go)) as outside:
            settings.MOBIUS_OUTBOUND_ALLOW = [outside.allow, inside.allow]
            connected = api.post(f"{api.root}/{CONNECT}", {"webhook_url": outside.url})
            told = api.post(f"{api.root}/integrations/{connected.json()['integration']['id']}/test", {})

        assert (told.json()["ok"], told.json()["status_code"]) == (False, 307)
        assert inside.connections == 0


BAD_NAMES = [
    *FORBIDDEN,
    *("X A", "X-A ", " X-A", "X-A:", "X\tA", "X\x00A", "X\x7fA", "X/A", "X(A)", 'X"A"', "X-A\n", "X-A\r\nB: c"),
    *("X-É", "Ｘ", "\u202eX", "X[A]", "X@A", "X,A", "X;A", "X=A", "X?A", "X{A}", "a" * 65, ":", " ", "\ufeffX"),
]
BAD_VALUES = [
    *(
        " Zq9planted",
        "Zq9planted ",
        "\tZq9planted",
        "Zq9planted\n",
        "Zq9planted\r\nB: c",
        "Zq\x009",
        "Zq\t9",
        "\x01Zq9planted",
        "Zq\x7f9",
        "Zq\x859",
        "Zq9plantedé",
    ),
    *("ключ", "Zq9planted\u2028", "\ufeffZq9planted", "🙂", "x" * 4097, " ", "Zq9planted\u00a0", "Zq\x1b[31m9"),
]
CASES = (
    [(name, "Zq9planted") for name in BAD_NAMES]
    + [("x-key", value) for value in BAD_VALUES]
    + [("", "Zq9planted"), ("x-key", "")]
)


def test_there_are_enough_hostile_headers_to_be_worth_the_name() -> None:
    assert len(set(CASES)) == len(CASES) >= 60


@pytest.mark.parametrize(("name", "value"), CASES)
def test_a_hostile_header_is_refused_through_both_doors_and_is_never_repeated(
    api: Api, client: Client, alice: User, clay: Any, name: str, value: str
) -> None:
    client.force_login(alice)
    fields = {"webhook_url": clay.url, "auth_header_name": name, "auth_header_value": value}
    by_api, by_page = api.post(f"{api.root}/{CONNECT}", fields), client.post(PAGE, fields)

    assert by_api.status_code == 400
    assert by_page.status_code == 422
    if "\x00" not in name + value:
        assert set(by_api.json()["error"]["details"]["fields"]) <= {"auth_header_name", "auth_header_value"}
    for answer in (by_api, by_page):
        assert len(value.strip()) < 2 or value.strip() not in answer.content.decode()
    assert not Integration.objects.exists()
    assert clay.rows == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Host", "evil"),
        ("Transfer-Encoding", "chunked"),
        ("X A", "b"),
        ("x-key", "a\r\nHost: evil"),
        ("x-key", "é"),
        ("x-key", " a"),
    ],
)
def test_a_header_that_is_older_than_the_rule_is_withheld_when_the_row_is_sent(
    api: Api, integration: Integration, clay: Any, name: str, value: str
) -> None:
    Webhook.objects.filter(integration=integration).update(auth_header_name=name)
    secret = WebhookSecret.objects.get(webhook__integration=integration)
    secret.auth_header_value = value
    secret.save()

    told = api.post(f"{api.root}/integrations/{integration.pk}/test", {}).json()

    assert (told["ok"], told["state"], told["failure"]) == (False, "not_sent", "withheld")
    assert clay.rows == []


def test_a_url_that_is_older_than_the_rule_is_not_dialled(
    api: Api, integration: Integration, dialled: list[Any]
) -> None:
    secret = WebhookSecret.objects.get(webhook__integration=integration)
    secret.url = "https://u:p@[::ffff:169.254.169.254]:80\\@api.clay.com/"
    secret.save()

    told = api.post(f"{api.root}/integrations/{integration.pk}/test", {}).json()

    assert (told["ok"], told["state"]) == (False, "not_sent")
    assert dialled == []


CALLBACK_URLS: list[tuple[str, bool]] = [
    ("https://api.example.com/clay/callback", True),
    ("http://127.0.0.1:8000/v1/callbacks/token?x=1", True),  # ours, on one machine; only Clay calls it
    ("http://10.0.0.1/", True),
    ("${{ callback.url }}", True),
    ("${{ callback.url }}?column=2", True),
    ("", True),
    ("api.example.com/clay", False),
    ("javascript:alert(1)", False),
    ("file:///etc/passwd", False),
    ("https://user:secret@example.com/", False),
    ("https://example.com/a b", False),
    ("https://example.com/\r\nHost: evil", False),
    ("https://example.com\\@10.0.0.1/", False),
    ("https://exa$mple.com/", False),
    ("https://example.com:0/", False),
    ("https://" + "x" * 3000, False),
]


@pytest.mark.parametrize(("url", "taken"), CALLBACK_URLS)
def test_a_callback_url_must_be_a_web_address_and_is_never_fetched(url: str, taken: bool, dialled: list[Any]) -> None:
    parameters = {"payload": {"email": "a"}, "callback_url": url}

    if taken:
        assert SUBMIT.read(parameters).payload.get("callback_url", "") == url
    else:
        with pytest.raises(ActionInputInvalid, match=r"^callback_url: "):
            SUBMIT.read(parameters)
    assert dialled == []


def test_a_payloads_own_callback_url_is_a_column_like_any_other() -> None:
    row = SUBMIT.read({"payload": {"callback_url": "none"}, "callback_url": "nonsense"})

    assert row.payload == {"callback_url": "none"}


ODD_ANSWERS = [
    b'{"half": "\\ud800", "other": "\\udfff"}',
    b'{"nul": "\\u0000"}',
    b"[" * 900 + b"]" * 900,
    b"[" * 400 + b",".join([b"1"] * 20_000) + b"]" * 400,
    b'{"n": ' + b"9" * 5_000 + b"}",
    b'{"n": NaN, "i": 1e999}',
    b"\x00\xff\xfe\x1b[31m\xe2\x80\xae",
    b"<script>alert(1)</script>",
    b'{"a": 1, "a": 2}',
]


@pytest.mark.parametrize("body", ODD_ANSWERS, ids=range(len(ODD_ANSWERS)))
def test_whatever_is_answered_is_stored_and_shown_on_every_page_and_in_the_admin(
    api: Api, client: Client, settings: Any, project: Project, body: bytes, django_user_model: Any
) -> None:
    client.force_login(django_user_model.objects.create_superuser("root"))
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with Server(answers(head + body)) as server:
        settings.MOBIUS_OUTBOUND_ALLOW = [server.allow]
        connected = api.post(f"{api.root}/{CONNECT}", {"webhook_url": server.url}).json()["integration"]["id"]
        told = api.post(f"{api.root}/integrations/{connected}/test", {})
    delivery = told.json()["delivery_id"]

    assert told.json()["ok"] is True
    assert api.get(f"{api.root}/deliveries/{delivery}").status_code == 200
    for path in (
        f"/projects/platform/operate/deliveries/{delivery}/",
        f"/projects/platform/govern/integrations/{connected}/?test={delivery}",
        "/projects/platform/operate/deliveries/",
        f"/admin/integrations/attempt/{delivery}/change/",
    ):
        page = client.get(path)
        assert page.status_code == 200, path
        assert len(page.content) < 300_000
        assert b"<script>alert" not in page.content
