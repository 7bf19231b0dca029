"""One mail when something breaks and one when it is over, whatever happens meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integrations.models import Integration
from loops import sweeping
from loops.purging import purge_all
from mobius import clock
from mobius.alerting import mailing, watching
from mobius.alerting.machine import QUIET
from mobius.alerting.mailing import hold_mails
from mobius.alerting.models import Alert, Mail, Recipient
from mobius.alerting.recipients import add_recipient, choose_conditions, remove_recipient, send_test
from mobius.alerting.watching import look, open_alerts, take_stock
from mobius.projects.auditing import SYSTEM
from mobius.projects.members import remove_member
from mobius.projects.models import Membership, Project
from tests.mobius.alerting.conftest import World
from tests.mobius.alerting.mailbox import MailServer, send_due
from tests.mobius.notifying.conftest import crm  # noqa: F401  # a fixture
from tests.mobius.notifying.receiving import Receiver, deliver_due, subscribe

pytestmark = pytest.mark.django_db


@pytest.fixture
def after() -> Callable[[timedelta], Any]:
    """Travel: what is done then is done that much later than now."""
    began = timezone.now()
    return lambda time: time_machine.travel(began + time, tick=False)


def look_now() -> None:
    look(now=clock.now())
    send_due()


def until_over(after: Callable[[timedelta], Any]) -> None:
    for minutes in (1, 7):
        with after(timedelta(minutes=minutes)):
            look_now()


def test_one_mail_when_it_breaks_and_one_when_it_is_over(
    world: World, ada: Recipient, mail_server: MailServer, after: Any
) -> None:
    world.breaks()
    look_now()
    look_now()
    world.heals()
    until_over(after)
    with after(timedelta(hours=1)):
        look_now()

    assert mail_server.subjects == ["[platform] clay: paused", "[platform] Over: clay: paused"]
    assert [mail["To"] for mail in mail_server.taken] == ["ada@example.com"] * 2
    assert not open_alerts(world.project)


def test_the_mail_says_what_happened_what_to_do_and_where(
    world: World, ada: Recipient, mail_server: MailServer
) -> None:
    world.breaks()
    look_now()

    (mail,) = mail_server.taken
    text = mail.get_content()
    assert "It was answered with 401." in text
    assert "What to do: Test the webhook." in text
    assert "http://console.test/projects/platform/govern/integrations/intg_1/" in text
    assert "http://console.test/projects/platform/govern/alerts/" in text
    assert mail["Auto-Submitted"] == "auto-generated"


def test_what_comes_back_within_minutes_is_not_mailed_again(
    world: World, ada: Recipient, mail_server: MailServer, after: Any
) -> None:
    for minutes in range(0, 20, 2):
        with after(timedelta(minutes=minutes)):
            world.breaks() if minutes % 4 == 0 else world.heals()
            look_now()

    assert mail_server.subjects == ["[platform] clay: paused"]


def test_what_gets_worse_is_told_and_what_gets_better_is_not(
    world: World, ada: Recipient, mail_server: MailServer
) -> None:
    for level in (50, 75, 50, 90):
        world.breaks(level, summary=f"{level} % of 50,000 rows used")
        look_now()

    assert mail_server.subjects == [f"[platform] clay: {level} % of 50,000 rows used" for level in (50, 75, 90)]
    assert Alert.objects.count() == 1


def test_a_process_that_was_killed_and_started_again_tells_nothing_twice(
    world: World, ada: Recipient, mail_server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.breaks()
    look_now()
    monkeypatch.setattr(sweeping, "_watch", watching.Watch())  # a new process knows nothing
    sweeping.sweep()
    send_due()

    assert len(mail_server.taken) == 1


@pytest.mark.django_db(transaction=True)
def test_two_tickers_at_the_same_moment_tell_once(
    world: World, ada: Recipient, mail_server: MailServer, after: Any
) -> None:
    world.breaks()
    together()
    world.heals()
    for minutes in (1, 7):
        with after(timedelta(minutes=minutes)):
            together()
            send_due()

    assert mail_server.subjects == ["[platform] clay: paused", "[platform] Over: clay: paused"]
    assert Alert.objects.count() == 1


def together(tickers: int = 4) -> None:
    start, now = threading.Barrier(tickers), clock.now()

    def tick() -> None:
        try:
            start.wait(5)
            look(now=now)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=tick) for _ in range(tickers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(looks=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 400)), max_size=12))
def test_for_any_order_of_flips_one_alert_is_open_at_most_and_mails_alternate(
    world: World, ada: Recipient, looks: list[tuple[int, int]]
) -> None:
    Alert.objects.all().delete()
    now = timezone.now()
    for level, seconds in looks:
        now += timedelta(seconds=seconds)
        world.breaks(level) if level else world.heals()
        look(now=now)
        assert Alert.objects.open().count() <= 1

    ends = [kind for kind in Mail.objects.order_by("pk").values_list("kind", flat=True) if kind != "worsened"]
    assert ends == [("opened", "closed")[number % 2] for number in range(len(ends))]


def test_endpoints_are_told_signed_and_in_order(
    world: World,
    crm: Receiver,  # noqa: F811
    after: Any,
) -> None:
    subscribe(world.project, crm, events=["alert.*"])
    world.breaks()
    look_now()
    world.breaks(2)
    look_now()
    world.heals()
    until_over(after)
    with after(timedelta(minutes=8)):
        deliver_due()

    assert crm.types == ["alert.opened", "alert.worsened", "alert.closed"]
    headers, body = crm.received[0]
    assert headers["x-mobius-event-type"] == "alert.opened"
    assert "x-mobius-signature" in headers
    assert b'"condition":"integration"' in body


def test_only_those_who_want_to_know_are_told(world: World, ada: Recipient, mail_server: MailServer) -> None:
    bob = add_recipient(project=world.project, address="bob@example.com", by=SYSTEM)
    choose_conditions(ada, ["budget"], by=SYSTEM)
    world.breaks()
    look_now()

    assert [mail["To"] for mail in mail_server.taken] == [bob.address]


def test_who_was_not_told_that_it_began_is_not_told_that_it_is_over(
    world: World, ada: Recipient, mail_server: MailServer, after: Any
) -> None:
    world.breaks()
    look_now()
    add_recipient(project=world.project, address="late@example.com", by=SYSTEM)
    world.heals()
    until_over(after)

    assert [mail["To"] for mail in mail_server.taken] == ["ada@example.com"] * 2


def test_a_recipient_that_is_removed_meanwhile_gets_nothing(
    world: World, ada: Recipient, mail_server: MailServer
) -> None:
    world.breaks()
    look(now=clock.now())
    remove_recipient(ada, by=SYSTEM)
    send_due()

    assert mail_server.taken == []
    mail = Mail.objects.get()
    assert (mail.state, mail.last_error, mail.address) == ("failed", mailing.NOBODY, "ada@example.com")


def test_a_member_who_is_taken_out_is_told_nothing_any_more(
    world: World, alice: Any, bob: Any, mail_server: MailServer
) -> None:
    membership = Membership.objects.get(user=bob)
    add_recipient(project=world.project, address="bob@example.com", membership=membership, by=SYSTEM)
    world.breaks()
    look(now=clock.now())
    remove_member(membership, by=SYSTEM)
    send_due()

    assert mail_server.taken == []
    assert not Recipient.objects.exists()


def test_a_member_whose_account_is_switched_off_is_told_nothing(
    world: World, bob: Any, mail_server: MailServer
) -> None:
    membership = Membership.objects.get(user=bob)
    add_recipient(project=world.project, address="bob@example.com", membership=membership, by=SYSTEM)
    bob.is_active = False
    bob.save()
    world.breaks()
    look_now()

    assert mail_server.taken == []


def test_a_name_cannot_begin_another_header(world: World, ada: Recipient, mail_server: MailServer) -> None:
    world.breaks(name="clay\r\nBcc: eve@example.com\x07\u2028" + "x" * 180)
    look_now()

    (mail,) = mail_server.taken
    assert mail["Bcc"] is None
    subject = mail["Subject"].strip()
    assert subject.startswith("[platform] clay Bcc: eve@example.com xxx")
    assert len(subject) <= 180


def test_a_copy_tells_nothing_of_the_past_but_what_comes_later(
    world: World, ada: Recipient, mail_server: MailServer, after: Any
) -> None:
    world.breaks(name="before")
    look(now=clock.now())  # written down, not sent yet
    world.breaks(name="before", summary="paused, in the copy too")
    take_stock(now=clock.now())
    hold_mails()
    look_now()
    assert mail_server.taken == []

    world.breaks(2, name="before")
    look_now()
    assert len(mail_server.taken) == 1


def test_a_deleted_project_is_told_nothing(world: World, ada: Recipient, mail_server: MailServer, after: Any) -> None:
    world.breaks()
    look_now()
    Project.objects.update(deleted_at=clock.now())
    world.heals()
    until_over(after)

    assert len(mail_server.taken) == 1
    assert not Alert.objects.open().exists()


def test_a_finder_that_fails_closes_nothing(
    world: World, ada: Recipient, monkeypatch: pytest.MonkeyPatch, after: Any
) -> None:
    world.breaks()
    look(now=clock.now())
    world.findings = None  # type: ignore[assignment]
    with after(QUIET * 2), pytest.raises(TypeError):
        look(now=clock.now())

    assert Alert.objects.open().count() == 1


def test_a_look_costs_the_same_however_much_is_wrong(project: Project, integration: Integration) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as done:
            look(now=clock.now())
        return len(done)

    little = cost()
    for number in range(5):
        Integration.objects.create(
            project=project,
            name=f"clay-{number}",
            provider="clay",
            pacer=integration.pacer,
            attention="Refused.",
        )
    look(now=clock.now())  # which opens their alerts

    assert Alert.objects.open().count() == 5
    assert cost() == little


def test_what_has_not_changed_is_not_written(
    world: World, ada: Recipient, django_assert_num_queries: Callable[[int], Any]
) -> None:
    world.breaks()
    look(now=clock.now())
    with django_assert_num_queries(1):  # which alerts are open
        look(now=clock.now())


def test_old_mails_forget_what_they_said(world: World, ada: Recipient, mail_server: MailServer) -> None:
    send_test(ada, by=SYSTEM)
    send_due()
    purge_all(before=clock.now() + timedelta(seconds=1))

    mail = Mail.objects.get()
    assert (mail.text, mail.subject) == ("", "[platform] Test: alerts reach you here")
