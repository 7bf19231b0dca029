"""Govern > Alerts: what is open, who is told, and what became of it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from mobius import clock
from mobius.alerting import recipients
from mobius.alerting.conditions import Condition
from mobius.alerting.models import Mail, Recipient
from mobius.alerting.recipients import add_recipient
from mobius.alerting.watching import look
from mobius.projects.auditing import SYSTEM
from mobius.projects.models import AuditEvent, Membership, Project
from tests.cast import Api
from tests.mobius.alerting.conftest import World
from tests.mobius.alerting.mailbox import MailServer, send_due
from tests.mobius.notifying.receiving import subscribe

pytestmark = pytest.mark.django_db
HERE = "/projects/platform/govern/alerts/"


def text(answer: Any) -> str:
    return str(answer.content.decode())


def test_it_shows_what_is_open_since_when_and_what_to_do(admin: Client, world: World) -> None:
    world.breaks()
    look(now=clock.now())
    shown = text(admin.get(HERE))

    assert "clay: paused" in shown
    assert "It was answered with 401." in shown
    assert "Test the webhook." in shown
    assert "/projects/platform/govern/integrations/intg_1/" in shown


def test_nothing_open_is_said(admin: Client) -> None:
    assert "Nothing needs you" in text(admin.get(HERE))


def test_any_address_can_be_added_and_is_told_everything(admin: Client, project: Project) -> None:
    answer = admin.post(HERE, {"member": "", "address": " ada@example.com "})

    assert answer.status_code == 302
    recipient = Recipient.objects.get()
    assert (recipient.address, recipient.conditions) == ("ada@example.com", list(Condition.values))
    line = AuditEvent.objects.get(action="alert_recipient.add")
    assert (line.actor_id, line.object_name) == ("alice", "ada@example.com")


def test_a_member_is_chosen_by_name(admin: Client, bob: User) -> None:
    bob.email = "bob@example.com"
    bob.save()
    admin.post(HERE, {"member": str(Membership.objects.get(user=bob).pk)})

    assert (Recipient.objects.get().address, Recipient.objects.get().member) == ("bob@example.com", "bob")


def test_a_member_without_an_address_needs_one(admin: Client, bob: User) -> None:
    answer = admin.post(HERE, {"member": str(Membership.objects.get(user=bob).pk)})

    assert answer.status_code == 422
    assert "The account of bob has no e-mail address: write it here." in text(answer)


@pytest.mark.parametrize("address", ["", "nonsense", "a@b.c\nBcc: eve@example.com", "a" * 250 + "@example.com"])
def test_what_is_no_address_is_refused_and_kept_in_the_form(admin: Client, address: str) -> None:
    answer = admin.post(HERE, {"address": address})

    assert answer.status_code == 422
    assert not Recipient.objects.exists()


def test_an_address_is_added_once_whatever_its_capitals(admin: Client, ada: Recipient) -> None:
    answer = admin.post(HERE, {"address": "Ada@Example.com"})

    assert answer.status_code == 422
    assert "is told already" in text(answer)


def test_a_project_mails_no_more_than_so_many_addresses(
    admin: Client, ada: Recipient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipients, "MOST_RECIPIENTS", 1)

    answer = admin.post(HERE, {"address": "grace@example.com"})

    assert answer.status_code == 422
    assert "as many addresses as it may" in text(answer)
    assert "grace@example.com" in text(answer)
    assert Recipient.objects.get() == ada


def test_a_member_of_another_project_cannot_be_chosen(admin: Client, charlie: User) -> None:
    answer = admin.post(HERE, {"member": str(Membership.objects.get(user=charlie).pk), "address": "c@example.com"})

    assert answer.status_code == 422
    assert not Recipient.objects.exists()


def test_who_gets_what_is_saved_for_those_on_the_page_only(admin: Client, ada: Recipient, project: Project) -> None:
    bob = add_recipient(project=project, address="bob@example.com", by=SYSTEM)
    admin.post(f"{HERE}recipients/", {"recipient": ada.pk, ada.pk: ["rows_in_doubt", "budget"]})
    ada.refresh_from_db()
    bob.refresh_from_db()

    assert ada.conditions == ["budget", "rows_in_doubt"]
    assert bob.conditions == list(Condition.values)


def test_a_condition_that_is_not_there_is_refused(admin: Client, ada: Recipient) -> None:
    answer = admin.post(f"{HERE}recipients/", {"recipient": ada.pk, ada.pk: "weather"}, follow=True)

    assert "There is no condition `weather`." in text(answer)
    assert Recipient.objects.get().conditions == list(Condition.values)


def test_a_test_says_what_became_of_it(admin: Client, ada: Recipient, mail_server: MailServer) -> None:
    answer = admin.post(f"{HERE}recipients/{ada.pk}/test/", follow=True)
    assert "A test is on its way to ada@example.com." in text(answer)
    assert 'hx-trigger="every 2s"' in text(answer)
    send_due()

    shown = text(admin.get(HERE))
    assert len(mail_server.taken) == 1
    assert "Sent" in shown
    assert "hx-trigger" not in shown


def test_a_second_test_at_once_is_refused_and_says_why(admin: Client, ada: Recipient, mail_server: MailServer) -> None:
    admin.post(f"{HERE}recipients/{ada.pk}/test/")
    answer = admin.post(f"{HERE}recipients/{ada.pk}/test/", follow=True)

    assert "less than a minute ago" in text(answer)
    assert Mail.objects.count() == 1


def test_a_mail_server_that_fails_is_seen(admin: Client, ada: Recipient, mail_server: MailServer) -> None:
    mail_server.answers_to_rcpt = ["550 <b>no</b> such mailbox"]
    admin.post(f"{HERE}recipients/{ada.pk}/test/")
    send_due()

    assert "The mail server refuses this address: 550 &lt;b&gt;no&lt;/b&gt; such mailbox" in text(admin.get(HERE))


def test_without_a_mail_server_the_page_says_how_to_name_one(admin: Client, ada: Recipient, settings: Any) -> None:
    settings.MOBIUS_SENDS_MAIL = False
    answer = admin.post(f"{HERE}recipients/{ada.pk}/test/", follow=True)

    assert "EMAIL_URL=smtp+tls://" in text(answer)
    assert Mail.objects.get().state == "failed"


def test_one_that_is_removed_is_gone_and_its_log_stays(admin: Client, ada: Recipient, mail_server: MailServer) -> None:
    admin.post(f"{HERE}recipients/{ada.pk}/test/")
    send_due()
    assert admin.get(f"{HERE}recipients/{ada.pk}/remove/").status_code == 200
    admin.post(f"{HERE}recipients/{ada.pk}/remove/")

    assert not Recipient.objects.exists()
    assert Mail.objects.get().address == "ada@example.com"


def test_a_viewer_sees_everything_and_changes_nothing(client: Client, vera: User, ada: Recipient) -> None:
    client.force_login(vera)
    shown = text(client.get(HERE))

    assert "ada@example.com" in shown
    assert "Send a test" not in shown
    assert 'type="checkbox"' not in shown
    assert client.post(HERE, {"address": "v@example.com"}).status_code == 403


def test_webhooks_that_are_told_are_named(admin: Client, project: Project) -> None:
    subscribe(project, None, name="later")
    endpoint = subscribe(project, None, name="pager", events=["alert.*"]).endpoint
    type(endpoint).objects.update(url_shown="https://pager.example/…")

    assert "pager" in text(admin.get(HERE))


def test_a_page_costs_a_fixed_number_of_queries(
    admin: Client, project: Project, world: World, django_assert_max_num_queries: Any
) -> None:
    for number in range(5):
        add_recipient(project=project, address=f"a{number}@example.com", by=SYSTEM)
    world.breaks()
    look(now=clock.now())
    with django_assert_max_num_queries(12):
        admin.get(HERE)


def test_the_api_lists_open_alerts(api: Api, stranger_api: Api, world: World) -> None:
    world.breaks()
    look(now=clock.now())
    listed = api.get(f"{api.root}/alerts").json()

    assert [(one["condition"], one["summary"], one["closed_at"]) for one in listed["items"]] == [
        ("integration", "paused", None)
    ]
    assert listed["items"][0]["url"] == "http://console.test/projects/platform/govern/integrations/intg_1/"
    assert stranger_api.get(f"{stranger_api.root}/alerts").json() == {"items": [], "has_more": False}
