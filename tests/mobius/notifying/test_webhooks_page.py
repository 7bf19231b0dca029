"""Govern > Webhooks in the browser's words."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from mobius.atonce import WAITING_CALLS
from mobius.notifying import subscribing
from mobius.notifying.models import Endpoint, Notification
from mobius.projects.models import Project
from tests.integrations.keys import NEW_KEY, keys
from tests.mobius.notifying.receiving import Receiver, deliver_due, napping, play, subscribe

pytestmark = pytest.mark.django_db
PAGE = "/projects/platform/govern/webhooks/"


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def page(alice: User) -> Client:
    return signed_in(alice)


def test_a_webhook_is_pinged_saved_and_its_secret_shown_once(page: Client, crm: Receiver) -> None:
    fields = {"name": "crm", "url": crm.url, "events": ["run.failed"], "then": "ping"}
    answer = page.post(PAGE, fields)

    assert answer.status_code == 201
    assert "whsec_" in answer.content.decode()
    assert crm.types == ["ping"]
    endpoint = Endpoint.objects.get()
    assert endpoint.events == ["run.failed"]
    shown = page.get(f"{PAGE}{endpoint.pk}/").content.decode()
    assert "whsec_" not in shown
    assert crm.url not in shown


def test_a_ping_that_fails_saves_nothing_and_says_why(page: Client, crm: Receiver) -> None:
    crm.statuses = [500]
    answer = page.post(PAGE, {"name": "crm", "url": crm.url, "then": "ping"})

    assert answer.status_code == 422
    assert "It was answered with 500." in answer.content.decode()
    assert crm.url in answer.content.decode()  # what was typed stays
    assert "Nothing was saved." in answer.content.decode()
    assert not Endpoint.objects.exists()
    assert page.post(PAGE, {"name": "crm", "url": crm.url, "then": "save"}).status_code == 201


def test_a_ping_by_itself_that_fails_says_nothing_of_saving(page: Client, project: Project, crm: Receiver) -> None:
    endpoint = subscribe(project, crm).endpoint
    crm.statuses = [500]
    answer = page.post(f"{PAGE}{endpoint.pk}/ping/")

    assert answer.status_code == 422
    assert "then ping again." in answer.content.decode()
    assert "Nothing was saved" not in answer.content.decode()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": "", "url": "https://a.example/"}, "Give the webhook a name"),
        ({"name": "crm", "url": ""}, "Give the address"),
        ({"name": "crm", "url": "https://10.0.0.1/"}, "private or reserved"),
        ({"name": "crm", "url": "https://10.0.0.1/", "then": "ping"}, "private or reserved"),
        ({"name": "crm", "url": "https://a.example/", "events": ["run.exploded"]}, "not one of the available choices"),
    ],
)
def test_what_cannot_be_is_refused_beside_its_field(page: Client, fields: dict[str, Any], says: str) -> None:
    answer = page.post(PAGE, fields)

    assert answer.status_code == 422
    assert says in answer.content.decode()


def test_one_webhook_too_many_is_refused_in_words(
    page: Client, project: Project, crm: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscribing, "MOST_ENDPOINTS", 1)
    subscribe(project, crm)

    answer = page.post(PAGE, {"name": "erp", "url": crm.url, "then": "save"})

    assert answer.status_code == 422
    assert "This project has 1 webhooks, which is as many as it may have" in answer.content.decode()
    assert Endpoint.objects.count() == 1


def test_it_is_changed_without_typing_the_address_again(page: Client, project: Project, crm: Receiver) -> None:
    endpoint = subscribe(project, crm).endpoint
    answer = page.post(f"{PAGE}{endpoint.pk}/save/", {"name": "other", "url": "", "then": "ping"})

    assert answer.status_code == 302
    endpoint.refresh_from_db()
    assert (endpoint.name, endpoint.url) == ("other", crm.url)
    assert crm.types == ["ping"]
    subscribe(project, crm, name="taken")
    again = page.post(f"{PAGE}{endpoint.pk}/save/", {"name": "taken", "url": "", "then": "save"})
    assert (again.status_code, "choose another name" in again.content.decode()) == (422, True)


def test_a_test_is_refused_in_words_while_too_many_calls_wait(page: Client, project: Project, crm: Receiver) -> None:
    endpoint = subscribe(project, crm).endpoint
    leaving = [WAITING_CALLS.enter() for _ in range(8)]
    try:
        pinged = page.post(f"{PAGE}{endpoint.pk}/ping/", follow=True)
        saved = page.post(f"{PAGE}{endpoint.pk}/save/", {"name": "other", "url": "", "then": "ping"})
        added = page.post(PAGE, {"name": "new", "url": crm.url, "then": "ping"})
    finally:
        for leave in leaving:
            leave()

    assert (pinged.status_code, saved.status_code, added.status_code) == (200, 422, 422)
    assert all("try again in a moment" in one.content.decode() for one in (pinged, saved, added))
    assert Endpoint.objects.get().name == "crm"


def test_a_test_of_an_address_that_nobody_can_read_says_so(page: Client, project: Project, crm: Receiver) -> None:
    endpoint = subscribe(project, crm).endpoint
    with keys(NEW_KEY):
        pinged = page.post(f"{PAGE}{endpoint.pk}/ping/", follow=True)
        saved = page.post(f"{PAGE}{endpoint.pk}/save/", {"name": "other", "url": "", "then": "ping"})

    assert (pinged.status_code, saved.status_code) == (200, 422)
    assert all("cannot be decrypted" in one.content.decode() for one in (pinged, saved))


def test_it_is_switched_off_rotated_and_deleted(page: Client, project: Project, crm: Receiver) -> None:
    endpoint = subscribe(project, crm).endpoint
    address = f"{PAGE}{endpoint.pk}/"

    assert page.post(f"{address}switch/", {"enabled": "false"}).status_code == 302
    assert not Endpoint.objects.get().enabled
    assert "24 hours" in page.get(f"{address}rotate/").content.decode()
    assert "whsec_" in page.post(f"{address}rotate/").content.decode()
    assert page.get(f"{address}delete/").status_code == 200
    assert page.post(f"{address}delete/").status_code == 302
    assert not Endpoint.objects.exists()


def test_the_log_shows_what_was_sent_and_answered_and_sends_it_again(
    page: Client, project: Project, crm: Receiver
) -> None:
    endpoint = subscribe(project, crm, events=["run.completed"]).endpoint
    crm.statuses = [404]
    play(napping(project))
    deliver_due()
    told = Notification.objects.get()
    address = f"{PAGE}{endpoint.pk}/deliveries/{told.pk}/"

    assert told.pk in page.get(f"{PAGE}{endpoint.pk}/").content.decode()
    shown = page.get(address).content.decode()
    assert "run.completed" in shown
    assert "It was answered with 404." in shown
    assert page.post(f"{address}redeliver/", follow=True).status_code == 200
    assert Notification.objects.get().state == "pending"
    assert "under way already" in page.post(f"{address}redeliver/", follow=True).content.decode()


def test_a_webhook_that_the_console_gave_up_says_why(page: Client, project: Project, crm: Receiver) -> None:
    endpoint = subscribe(project, crm, events=["run.completed"]).endpoint
    crm.statuses = [410]
    play(napping(project))
    deliver_due()

    assert "410 Gone" in page.get(f"{PAGE}{endpoint.pk}/").content.decode()


def test_who_may_do_what(project: Project, vera: User, bob: User, charlie: User, crm: Receiver) -> None:
    endpoint = subscribe(project, crm).endpoint
    address = f"{PAGE}{endpoint.pk}/"

    assert Client().get(PAGE).status_code == 302
    assert signed_in(charlie).get(PAGE).status_code == 404
    for person in (vera, bob):
        client = signed_in(person)
        assert client.get(PAGE).status_code == client.get(address).status_code == 200
        assert "Add a webhook" not in client.get(PAGE).content.decode()
        assert client.post(PAGE, {"name": "x", "url": "https://a.example/"}).status_code == 403
        for deed in ("save", "ping", "switch", "rotate", "delete"):
            assert client.post(f"{address}{deed}/").status_code == 403


def test_another_project_s_webhook_is_not_found(page: Client, other_project: Project, crm: Receiver) -> None:
    endpoint = subscribe(other_project, crm).endpoint

    assert page.get(f"{PAGE}{endpoint.pk}/").status_code == 404
    assert page.post(f"{PAGE}{endpoint.pk}/delete/").status_code == 404
    assert Endpoint.objects.exists()
