"""Deliveries: at least once under one id, ten attempts with longer and longer pauses, and an end to vain ones."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from integrations.connecting import pause
from integrations.models import Integration
from loops import listeners
from loops.operating import cancel
from loops.purging import HourlyPurge, purge_all
from loops.queue import discard
from loops.retrying import retry
from loops.sweeping import sweep
from mobius import clock
from mobius.engine import doorbell
from mobius.engine.pool import Pool
from mobius.errors import Conflict
from mobius.notifying import couriers, sending, subscribing
from mobius.notifying.models import Endpoint, Notification
from mobius.notifying.sending import LEASE, MOST_ATTEMPTS, PAUSES
from mobius.projects.auditing import SYSTEM
from mobius.projects.models import AuditEvent, Project
from tests.cast import wait_until, work_off
from tests.integrations.sockets import Server, answers
from tests.loops.flow import FAILS, NAP, begin, fresh, loop_of
from tests.loops.runs import push, wait
from tests.mobius.notifying.receiving import (
    Receiver,
    deliver_due,
    napping,
    play,
    receiver,
    subscribe,
)

pytestmark = pytest.mark.django_db


def only() -> Notification:
    return Notification.objects.get()


def test_the_types_that_were_asked_for_are_told(project: Project, crm: Receiver) -> None:
    subscribe(project, crm, events=["run.failed"])
    play(napping(project))
    run = play(loop_of(project, FAILS))
    deliver_due()

    assert crm.types == ["run.failed"]
    assert (only().run_id, only().state, only().attempts, only().status_code) == (run.pk, "delivered", 1, 200)


@pytest.mark.parametrize("events", [[], ["run.*"]], ids=["all", "run.*"])
def test_a_run_tells_its_whole_story(project: Project, crm: Receiver, events: list[str]) -> None:
    subscribe(project, crm, events=events)
    run = play(loop_of(project, FAILS))
    retry(run, by=SYSTEM)
    stopped = begin(loop_of(project, wait()))
    cancel(fresh(stopped), by=SYSTEM)
    deliver_due()

    assert sorted(crm.types) == ["run.cancelled", "run.failed", "run.resumed", "run.started"]


def test_what_is_told_is_how_the_run_was_then(project: Project, crm: Receiver) -> None:
    subscribe(project, crm, events=["run.failed"])
    run = play(loop_of(project, FAILS))
    retry(run, by=SYSTEM)
    deliver_due()

    ((_, body),) = crm.received
    assert b'"status":"failed"' in body


def test_runs_whose_rows_are_discarded_are_told(project: Project, integration: Integration, settings: Any) -> None:
    with receiver(settings) as crm:
        subscribe(project, crm, events=["run.cancelled"])
        pause(integration, by=SYSTEM)
        play(loop_of(project, push()))
        assert discard(integration, by=SYSTEM) == 1
        deliver_due()

        assert crm.types == ["run.cancelled"]


def test_another_project_and_one_that_is_off_and_one_without_an_address_are_told_nothing(
    project: Project, other_project: Project, crm: Receiver
) -> None:
    subscribe(other_project, crm)
    subscribe(project, crm, enabled=False)
    subscribe(project, None, name="later")
    play(napping(project))

    assert not Notification.objects.exists()


def test_what_may_pass_is_tried_ten_times_with_longer_and_longer_pauses(project: Project, crm: Receiver) -> None:
    subscribe(project, crm, events=["run.completed"])
    crm.statuses = [503]
    play(napping(project))
    now = timezone.now()
    for after in (*PAUSES, None):
        with time_machine.travel(now, tick=False):
            deliver_due()
            deliver_due()  # nothing is due a second time
            told = only()
            assert told.state == ("failed" if after is None else "pending")
            assert told.due_at == (None if after is None else now + after)
            now += after or timedelta()

    assert told.attempts == len(told.tries) == len(crm.requests) == MOST_ATTEMPTS
    assert len({headers["webhook-id"] for headers, _ in crm.received}) == 1
    assert told.last_error == "It was answered with 503."
    assert sum(PAUSES, timedelta()) < timedelta(days=2)


@pytest.mark.parametrize("status", [408, 429, 500, 502])
def test_it_goes_on_after_a_trouble_that_passes(project: Project, crm: Receiver, status: int) -> None:
    subscribe(project, crm, events=["run.completed"])
    crm.statuses = [status, 204]
    play(napping(project))
    deliver_due()
    with time_machine.travel(timezone.now() + timedelta(minutes=1), tick=True):
        deliver_due()

    assert (only().state, only().attempts, only().last_error) == ("delivered", 2, "")
    assert Endpoint.objects.get().failing_since is None


@pytest.mark.parametrize("status", [301, 400, 401, 404])
def test_a_definite_no_is_not_tried_again(project: Project, crm: Receiver, status: int) -> None:
    subscribe(project, crm, events=["run.completed"])
    crm.statuses = [status]
    play(napping(project))
    deliver_due()

    assert (only().state, only().due_at, only().last_error) == ("failed", None, f"It was answered with {status}.")


def test_a_receiver_says_how_long_to_wait(project: Project, crm: Receiver) -> None:
    subscribe(project, crm, events=["run.completed"])
    crm.statuses, crm.headers = [429], b"Retry-After: 600\r\n"
    play(napping(project))
    now = clock.now()
    deliver_due()

    assert only().due_at is not None
    assert only().due_at - now > timedelta(seconds=590)  # type: ignore[operator]


def test_a_private_address_is_refused_at_the_send_too(project: Project, settings: Any) -> None:
    with receiver(settings) as server:
        subscribe(project, server, events=["run.completed"])
        settings.MOBIUS_OUTBOUND_ALLOW = []
        play(napping(project))
        deliver_due()

    assert server.connections == 0
    assert "address that may be used" in only().last_error


def test_the_answer_is_kept_and_cut(project: Project, settings: Any) -> None:
    huge = b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n" + b"x" * 50_000
    with Server(answers(huge)) as server:
        settings.MOBIUS_OUTBOUND_ALLOW = [server.allow]
        subscribe(project, server, events=["run.completed"])
        play(napping(project))
        deliver_due()

    assert (only().state, len(only().response)) == ("delivered", 4000)


def test_an_attempt_whose_process_died_is_made_again_under_the_same_id(project: Project, crm: Receiver) -> None:
    subscribe(project, crm, events=["run.completed"])
    play(napping(project))
    assert sending.claim(only(), now=clock.now())  # and the process dies here
    deliver_due()
    assert crm.requests == []

    with time_machine.travel(timezone.now() + LEASE + timedelta(seconds=1), tick=True):
        deliver_due()
    assert (only().state, only().attempts, len(crm.requests)) == ("delivered", 2, 1)


def test_who_was_given_up_for_dead_writes_nothing_over(project: Project, crm: Receiver) -> None:
    subscribe(project, crm, events=["run.completed"])
    play(napping(project))
    assert sending.claim(only(), now=clock.now())
    slow = only()
    with time_machine.travel(timezone.now() + LEASE + timedelta(seconds=1), tick=True):
        deliver_due()
    crm.statuses = [500]
    endpoint = Endpoint.objects.get()
    exchange = sending._post(str(endpoint.url), slow, endpoint, sending._secrets(endpoint, clock.now()), clock.now())
    sending._record(slow, endpoint, exchange, now=clock.now())

    assert (only().state, Endpoint.objects.get().failures_in_a_row) == ("delivered", 0)


def test_two_that_look_at_once_send_it_once(project: Project, crm: Receiver) -> None:
    subscribe(project, crm, events=["run.completed"])
    play(napping(project))
    seen = only()

    assert [sending.claim(seen, now=clock.now()) for _ in range(2)] == [True, False]


def test_after_days_of_failure_it_is_switched_off_and_says_why(project: Project, crm: Receiver) -> None:
    subscribe(project, crm, events=["run.completed"])
    crm.statuses = [500]
    loop = napping(project)
    now = timezone.now()
    for day in range(7):
        for hour in (0, 12):
            with time_machine.travel(now + timedelta(days=day, hours=hour), tick=True):
                play(loop)
                deliver_due()

    endpoint = Endpoint.objects.get()
    assert not endpoint.enabled
    assert "No delivery has succeeded since" in endpoint.disabled_because
    assert not Notification.objects.unfinished(endpoint.pk).exists()
    assert AuditEvent.objects.filter(action="webhook.switch_off").count() == 1
    subscribing.update_endpoint(endpoint, {"enabled": True}, by=SYSTEM)
    assert (endpoint.disabled_because, endpoint.failures_in_a_row) == ("", 0)


def test_gone_switches_it_off_at_once(project: Project, crm: Receiver) -> None:
    subscribe(project, crm, events=["run.completed"])
    crm.statuses = [410]
    play(napping(project))
    deliver_due()

    assert "410 Gone" in Endpoint.objects.get().disabled_because


def test_redelivering_sends_the_same_bytes_under_the_same_id(project: Project, crm: Receiver) -> None:
    subscribe(project, crm, events=["run.completed"])
    crm.statuses = [404, 200]
    play(napping(project))
    deliver_due()
    sending.redeliver(only(), by=SYSTEM)
    with pytest.raises(Conflict):
        sending.redeliver(only(), by=SYSTEM)
    deliver_due()

    (first, second) = crm.received
    assert (first[1], first[0]["webhook-id"]) == (second[1], second[0]["webhook-id"])
    assert (only().state, only().attempts, len(only().tries)) == ("delivered", 1, 2)


def test_a_webhook_that_is_deleted_while_its_courier_looks_is_no_fault(project: Project, crm: Receiver) -> None:
    subscribe(project, crm)
    play(napping(project))
    told = Notification.objects.all()[0]
    assert sending.claim(told, now=clock.now())

    deleted: list[str] = []

    def meanwhile(execute: Any, sql: str, *more: Any) -> Any:
        found = execute(sql, *more)
        if not deleted and sql.startswith("SELECT") and 'FROM "notifying_endpoint"' in sql:
            deleted.append(sql)
            Endpoint.objects.all().delete()
        return found

    with connection.execute_wrapper(meanwhile):
        sending.deliver(told.pk)

    assert (crm.requests, Notification.objects.count()) == ([], 0)


def test_what_is_purged_stays_in_the_log_and_cannot_be_sent_again(project: Project, crm: Receiver) -> None:
    subscribe(project, crm, events=["run.completed"])
    play(napping(project))
    assert purge_all(before=clock.now() + timedelta(days=1))["webhook deliveries"] == 0  # it is still to be sent
    deliver_due()
    assert purge_all(before=clock.now() + timedelta(days=1))["webhook deliveries"] == 1

    assert (only().body, only().state) == ("", "delivered")
    with pytest.raises(Conflict, match="older than bodies are kept"):
        sending.redeliver(only(), by=SYSTEM)


def test_what_was_told_is_forgotten_by_itself_too(project: Project, crm: Receiver, settings: Any) -> None:
    settings.MOBIUS_RETENTION_DAYS = 30
    subscribe(project, crm, events=["run.completed"])
    play(napping(project))
    deliver_due()
    Notification.objects.update(created_at=clock.now() - timedelta(days=31))
    purge = HourlyPurge()
    for _ in range(6):
        purge.go_on(now=clock.now())

    assert (only().body, only().response, only().state) == ("", "", "delivered")


def test_where_nobody_listens_a_run_asks_the_database_nothing_for_it(project: Project) -> None:
    loop = loop_of(project, NAP)
    play(loop)  # asks who listens, for the next second
    run = begin(loop)
    with CaptureQueriesContext(connection) as asked:
        work_off()

    assert fresh(run).status == "completed"
    assert not [one["sql"] for one in asked.captured_queries if "notifying" in one["sql"]]


def test_what_another_process_subscribes_is_heard_a_second_later(
    project: Project, crm: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not listeners.anybody_listens(project.pk)
    now = timezone.now()
    Endpoint.objects.create(project=project, name="theirs", url=crm.url, created_at=now, updated_at=now)
    assert not listeners.anybody_listens(project.pk)

    monkeypatch.setattr(listeners, "ASK_AGAIN_SECONDS", -1.0)
    assert listeners.anybody_listens(project.pk)


@pytest.mark.django_db(transaction=True)
def test_the_sweep_hands_out_and_a_silent_receiver_keeps_no_other_waiting(project: Project, settings: Any) -> None:
    answer_now = threading.Event()

    def behave(server: Server, connected: Any) -> None:
        server.read_request(connected)
        answer_now.wait(8)
        connected.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    pool = Pool(replace(doorbell.current_answer(), advance=couriers.carry), threads=couriers.COURIERS)
    with Server(behave) as silent, receiver(settings) as crm:
        settings.MOBIUS_OUTBOUND_ALLOW = [silent.allow, crm.allow]
        subscribe(project, silent, events=["run.completed"], name="silent")
        subscribe(project, crm, events=["run.completed"], name="crm")
        loop = napping(project)
        for _ in range(5):
            play(loop)
        pool.start()
        couriers.use_pool(pool)
        try:
            wait_until(lambda: sweep() and len(crm.requests) == 5)
            assert silent.connections == couriers.FOR_ONE_ENDPOINT
            answer_now.set()
            wait_until(lambda: sweep() and Notification.objects.filter(state="delivered").count() == 10)
        finally:
            couriers.use_pool(None)
            assert pool.stop(patience_seconds=10)
            connections.close_all()
