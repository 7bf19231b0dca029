"""Mails: through a real mail server, tried again when it may help, and never hidden when it does not."""

from __future__ import annotations

import socket
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from loops.sweeping import sweep
from mobius import clock
from mobius.alerting import mailing
from mobius.alerting.mailing import LEASE, MOST_ATTEMPTS, PAUSES
from mobius.alerting.models import Mail, Recipient
from mobius.alerting.recipients import add_recipient, send_test
from mobius.alerting.telling import NO_MAIL_SERVER
from mobius.engine import doorbell
from mobius.engine.pool import Pool
from mobius.errors import RateLimitExceeded
from mobius.projects.auditing import SYSTEM
from mobius.projects.models import Project
from tests.cast import wait_until
from tests.mobius.alerting.mailbox import MailServer, send_due

pytestmark = pytest.mark.django_db


def only() -> Mail:
    return Mail.objects.get()


def test_a_test_arrives(ada: Recipient, mail_server: MailServer) -> None:
    send_test(ada, by=SYSTEM)
    send_due()

    (mail,) = mail_server.taken
    assert mail["Subject"] == "[platform] Test: alerts reach you here"
    assert (only().state, only().attempts, only().last_error) == ("sent", 1, "")
    assert mail["Message-ID"] == f"<{only().pk}@mobius>"


def test_one_address_gets_one_test_a_minute_whoever_asks(ada: Recipient, other_project: Project) -> None:
    elsewhere = add_recipient(project=other_project, address="Ada@example.com", by=SYSTEM)
    somebody = add_recipient(project=other_project, address="bob@example.com", by=SYSTEM)
    send_test(ada, by=SYSTEM)
    for again in (ada, elsewhere):
        with pytest.raises(RateLimitExceeded):
            send_test(again, by=SYSTEM)
    assert Mail.objects.count() == 1

    send_test(somebody, by=SYSTEM)
    with time_machine.travel(timezone.now() + timedelta(minutes=1, seconds=1), tick=False):
        send_test(ada, by=SYSTEM)
    assert Mail.objects.count() == 3


def test_an_address_that_the_server_refuses_is_not_tried_again(ada: Recipient, mail_server: MailServer) -> None:
    mail_server.answers_to_rcpt = ["550 5.1.1 no such mailbox"]
    send_test(ada, by=SYSTEM)
    send_due()

    assert (only().state, only().due_at) == ("failed", None)
    assert only().last_error == "The mail server refuses this address: 550 5.1.1 no such mailbox"


def test_a_server_that_asks_for_patience_gets_it(ada: Recipient, mail_server: MailServer) -> None:
    mail_server.answers_to_rcpt = ["451 4.7.1 greylisted"]
    send_test(ada, by=SYSTEM)
    send_due()
    assert (only().state, only().attempts) == ("pending", 1)
    with time_machine.travel(timezone.now() + PAUSES[0], tick=False):
        send_due()

    assert only().state == "sent"
    assert len(mail_server.taken) == 1


@pytest.fixture
def nobody_listens(settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.MOBIUS_SENDS_MAIL = True
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", taken.getsockname()[1]


def test_a_server_that_is_down_is_tried_again_with_longer_and_longer_pauses(
    ada: Recipient, nobody_listens: None
) -> None:
    send_test(ada, by=SYSTEM)
    now = timezone.now()
    for after in (*PAUSES, None):
        with time_machine.travel(now, tick=False):
            send_due()
            send_due()  # nothing is due a second time
            assert only().due_at == (None if after is None else now + after)
            assert only().last_error == "The mail server could not be reached, or broke off. Is EMAIL_URL right?"
            now += after or timedelta()

    assert (only().state, only().attempts) == ("failed", MOST_ATTEMPTS)


def test_a_server_that_hangs_up_is_tried_again(ada: Recipient, mail_server: MailServer) -> None:
    mail_server.hangs_up = True
    send_test(ada, by=SYSTEM)
    send_due()

    assert only().state == "pending"


def test_a_server_that_falls_silent_is_given_up(ada: Recipient, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.MOBIUS_SENDS_MAIL, settings.EMAIL_TIMEOUT = True, 0.1
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", silent.getsockname()[1]
        send_test(ada, by=SYSTEM)
        send_due()

    assert only().state == "pending"
    assert only().last_error == "The mail server did not answer within 0.1 seconds."


def test_without_a_mail_server_it_says_so_at_once(ada: Recipient, settings: Any) -> None:
    settings.MOBIUS_SENDS_MAIL = False
    mail = send_test(ada, by=SYSTEM)

    assert (mail.state, mail.due_at, mail.last_error) == ("failed", None, NO_MAIL_SERVER)


def test_an_attempt_whose_process_died_is_made_again_after_the_lease(ada: Recipient, mail_server: MailServer) -> None:
    send_test(ada, by=SYSTEM)
    assert mailing.claim(only(), now=clock.now())
    send_due()
    assert mail_server.taken == []
    with time_machine.travel(timezone.now() + LEASE, tick=False):
        send_due()

    assert (only().state, only().attempts, len(mail_server.taken)) == ("sent", 2, 1)


def test_who_was_given_up_for_dead_writes_nothing(ada: Recipient, mail_server: MailServer) -> None:
    send_test(ada, by=SYSTEM)
    assert mailing.claim(only(), now=clock.now())
    stale = only()
    assert mailing.claim(only(), now=clock.now() + LEASE)
    mailing._record(stale, error="too late", for_good=True)

    assert (only().state, only().last_error) == ("processing", "")


def test_one_that_breaks_every_process_is_given_up(ada: Recipient, mail_server: MailServer) -> None:
    send_test(ada, by=SYSTEM)
    Mail.objects.update(attempts=MOST_ATTEMPTS)
    send_due()

    assert (only().state, only().last_error) == ("failed", mailing.GIVEN_UP)
    assert mail_server.taken == []


@pytest.mark.django_db(transaction=True)
def test_the_sweep_lets_a_thread_of_its_own_send(
    ada: Recipient, mail_server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailing, "_looks_at", [0.0])
    answer = doorbell.Answer(advance=mailing.carry, recover=lambda: None, sweep=lambda: 1.0, beat=str, leave=str)
    pool = Pool(answer, threads=1)
    pool.start()
    mailing.use_pool(pool)
    try:
        send_test(ada, by=SYSTEM)
        sweep()
        wait_until(lambda: only().state == "sent")
    finally:
        mailing.use_pool(None)
        assert pool.stop(patience_seconds=5)

    assert len(mail_server.taken) == 1
