"""The outcomes of design §4 over real sockets: what each answer makes of the attempt, the unit and the row."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from pytest_django import DjangoAssertNumQueries

from integrations import connecting, delivering, judging, ledger, pacing
from integrations.delivering import AlreadyAccepted, NotNow, Sending, SubmissionLimitReached
from integrations.forms import UNLIMITED, Options
from integrations.judging import Delivery
from integrations.models import (
    Attempt,
    AttemptKind,
    AttemptState,
    Integration,
    IntegrationStatus,
    LedgerEntry,
    Pacer,
    Webhook,
    WebhookSecret,
)
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from integrations.providers.contract import Connection, Failure, Stage
from integrations.providers.errors import ActionInputInvalid, NotConnected
from integrations.providers.registry import get_provider
from integrations.secrets import SecretUnreadable
from mobius import clock
from mobius.projects.models import Project
from tests.integrations.rows import ROW, Outcome, begin, deliver, finish, order, reserve
from tests.integrations.sockets import OK, Authority, Server, answers, drips, resets

Behave = Callable[[Server, socket.socket], None]


def connect_to(project: Project, url: str, settings: Any, *, allow: str, **options: Any) -> Integration:
    settings.MOBIUS_OUTBOUND_ALLOW = [allow]
    return connecting.connect(
        project=project,
        provider=get_provider("clay"),
        connection=Connection(webhook_url=url, auth_header_name="x-token", auth_header_value="hush-hush-token"),
        options=Options(**({"rate_per_second": UNLIMITED} | options)),
    )


def at_server(project: Project, settings: Any, behave: Behave, **changes: Any) -> Outcome:
    """Deliver one row to a server that behaves in this way."""
    with Server(behave) as server:
        connect_to(project, server.url, settings, allow=server.allow)
        return deliver(project, **changes)


def status(code: int, *, body: bytes = b"no", headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d Word\r\n%sContent-Length: %d\r\n\r\n%s" % (code, headers, len(body), body)


# --- accepted ---


@pytest.mark.parametrize("code", [200, 201, 202, 204, 299])
def test_any_2xx_is_an_accepted_row(project: Project, settings: Any, code: int) -> None:
    body = b"" if code == 204 else b"OK"

    outcome = at_server(project, settings, answers(status(code, body=body)))

    assert outcome.attempt.state == AttemptState.ACCEPTED
    assert outcome.attempt.status_code == code
    assert outcome.counts == (1, 0)
    assert outcome.delivery.output == {"ok": True, "status_code": code, "request_id": "req_123"}
    assert outcome.webhook.last_success_at


@pytest.mark.parametrize(
    ("behave", "failure"),
    [
        pytest.param(drips(b"HTTP/1.1 200 OK\r\n\r\n", b"x"), Failure.TIMEOUT, id="slow"),
        pytest.param(answers(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000), Failure.TOO_LARGE, id="huge"),
        pytest.param(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"), Failure.RESET, id="cut"),
        pytest.param(answers(status(200, headers=b"Content-Encoding: gzip\r\n")), Failure.BAD_ANSWER, id="unreadable"),
    ],
)
def test_a_2xx_with_a_bad_body_is_an_accepted_row(
    project: Project, settings: Any, behave: Behave, failure: Failure
) -> None:
    outcome = at_server(project, settings, behave, timeout_seconds=0.4)

    assert outcome.attempt.state == AttemptState.ACCEPTED
    assert outcome.attempt.failure == failure
    assert outcome.counts == (1, 0)
    assert outcome.delivery.output["ok"] is True


def test_the_output_holds_the_json_object_that_clay_answered(project: Project, integration: Integration) -> None:
    outcome = deliver(project)

    assert outcome.delivery.output == {
        "ok": True,
        "status_code": 200,
        "request_id": "req_123",
        "response": {"success": True},
    }


def test_the_row_is_the_payload_with_the_ids_added(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    deliver(project, ROW | {"external_id": "lead_123", "callback_url": "https://api.example.com/clay"})

    assert clay.rows[0].body == {
        "email": "ada@example.com",
        "request_id": "req_123",
        "external_id": "lead_123",
        "callback_url": "https://api.example.com/clay",
    }


def test_the_auth_header_rides_along(project: Project, clay: ClaySimulator, settings: Any) -> None:
    connect_to(project, clay.url, settings, allow=f"127.0.0.1/32:{clay.port}")

    deliver(project)

    assert clay.rows[0].headers["x-token"] == "hush-hush-token"


# --- not sent ---


def unresolvable(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror

    monkeypatch.setattr("integrations.addresses.socket.getaddrinfo", fail)


def test_a_name_that_does_not_resolve_sends_nothing(
    project: Project, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    unresolvable(monkeypatch)
    connect_to(project, "https://hooks.example.com/x", settings, allow="127.0.0.1/32:9")

    outcome = deliver(project)

    assert_not_sent(outcome, Failure.UNREACHABLE)


def test_a_refused_connection_sends_nothing(project: Project, settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    connect_to(project, f"http://127.0.0.1:{port}/x", settings, allow=f"127.0.0.1/32:{port}")

    outcome = deliver(project)

    assert_not_sent(outcome, Failure.CONNECT)


def test_a_failed_tls_handshake_sends_nothing(project: Project, settings: Any, tmp_path: Path) -> None:
    with Server(answers(OK), tls=Authority(tmp_path).server_context("127.0.0.1")) as server:
        url = server.url.replace("http://", "https://")
        connect_to(project, url, settings, allow=server.allow)

        outcome = deliver(project)

    assert_not_sent(outcome, Failure.TLS)
    assert server.requests == []


def assert_not_sent(outcome: Outcome, failure: Failure) -> None:
    assert outcome.attempt.state == AttemptState.NOT_SENT
    assert outcome.attempt.failure == failure
    assert outcome.counts == (0, 0)
    assert outcome.delivery.may_retry
    assert not LedgerEntry.objects.exists()


# --- refused ---


@pytest.mark.parametrize("code", [301, 302, 307, 400, 401, 403, 404, 409, 410, 413, 418, 422])
def test_a_definite_no_frees_the_unit_and_the_ledger_and_is_not_retried(
    project: Project, settings: Any, code: int
) -> None:
    outcome = at_server(project, settings, answers(status(code)))

    assert outcome.attempt.state == AttemptState.REFUSED
    assert outcome.attempt.status_code == code
    assert outcome.attempt.error_message.startswith(f"Clay answered {code}. ")
    assert outcome.counts == (0, 0)
    assert not outcome.delivery.may_retry
    assert not LedgerEntry.objects.exists()


def test_a_redirect_is_not_followed(project: Project, settings: Any, clay: ClaySimulator) -> None:
    moved = status(307, headers=b"Location: %s\r\n" % clay.url.encode())

    at_server(project, settings, answers(moved))

    assert clay.rows == []


def test_a_429_may_be_retried_after_what_it_asks_for(project: Project, settings: Any) -> None:
    outcome = at_server(project, settings, answers(status(429, headers=b"Retry-After: 7\r\n")))

    assert outcome.attempt.state == AttemptState.REFUSED
    assert outcome.delivery.error_type == "rate_limited"
    assert outcome.delivery.may_retry
    assert outcome.delivery.retry_after_seconds == 7
    assert outcome.counts == (0, 0)


def test_a_429_holds_the_whole_workspace(project: Project, settings: Any) -> None:
    with Server(answers(status(429, headers=b"Retry-After: 7\r\n"))) as server:
        connect_to(project, server.url, settings, allow=server.allow, rate_per_second=100.0)
        deliver(project)

        answer = reserve(order(project))

    pacer = Pacer.objects.get()
    assert isinstance(answer, NotNow)
    assert (answer.reason, answer.waits_for) == ("paced", pacer.pk)
    assert pacer.held_until - clock.now().timestamp() == pytest.approx(7, abs=1)
    assert pacing.room(pacer.pk, now=pacer.held_until - 0.1) == 0
    assert pacing.room(pacer.pk, now=pacer.held_until + 0.1) > 0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7), ("0", 1), ("99999", 3600), ("soon", 1), ("", 1), ("-5", 1), ("1.5", 1), ("٣", 1), ("9" * 400, 3600)],
)
def test_retry_after_counts_from_a_second_to_an_hour(text: str, seconds: int) -> None:
    assert judging.retry_after({"retry-after": text}) == seconds


@pytest.mark.parametrize(
    ("date", "seconds"),
    [("Wed, 21 Oct 2015 07:28:00 GMT", 1), ("Fri, 31 Dec 2999 23:59:59 GMT", 3600)],
)
def test_retry_after_may_be_a_date(date: str, seconds: int) -> None:
    assert judging.retry_after({"retry-after": date}) == seconds


# --- in doubt ---


@pytest.mark.parametrize(
    ("behave", "code"),
    [
        pytest.param(answers(status(500)), 500, id="500"),
        pytest.param(answers(status(503, headers=b"Retry-After: 1\r\n")), 503, id="503"),
        pytest.param(drips(b"HTTP/1.1 404 Not Found\r\n", b"A: b\r\n"), 404, id="404-without-end"),
        pytest.param(resets(b"HTTP/1.1 429 Slow\r\nContent-Length: 9\r\n\r\n"), 429, id="429-broken"),
    ],
)
def test_an_error_of_the_far_side_leaves_the_row_in_doubt(
    project: Project, settings: Any, behave: Behave, code: int
) -> None:
    outcome = at_server(project, settings, behave, timeout_seconds=0.4)

    assert_in_doubt(outcome)
    assert outcome.attempt.status_code == code
    assert outcome.delivery.answered


@pytest.mark.parametrize(
    "behave",
    [
        pytest.param(lambda server, connection: server.stopped.wait(1), id="silence"),
        pytest.param(resets(b""), id="reset"),
        pytest.param(answers(b""), id="hang-up"),
        pytest.param(answers(b"SSH-2.0-OpenSSH_9.6\r\n"), id="nonsense"),
        pytest.param(drips(b"", b"H"), id="dripped"),
        pytest.param(drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), id="endless-continue"),
    ],
)
def test_no_status_line_leaves_the_row_in_doubt(project: Project, settings: Any, behave: Behave) -> None:
    outcome = at_server(project, settings, behave, timeout_seconds=0.3)

    assert_in_doubt(outcome)
    assert outcome.attempt.status_code is None
    assert not outcome.delivery.answered


def assert_in_doubt(outcome: Outcome) -> None:
    assert outcome.attempt.state == AttemptState.IN_DOUBT
    assert outcome.delivery.error_type == "delivery_in_doubt"
    assert not outcome.delivery.may_retry, "a row in doubt is never sent again by itself"
    assert outcome.counts == (1, 0), "it keeps its unit"
    assert LedgerEntry.objects.get().attempt == outcome.attempt


def test_what_a_dead_process_left_on_the_wire_is_in_doubt(project: Project, integration: Integration) -> None:
    sending = begin(order(project))

    silent = delivering.doubt_the_silent(now=clock.now())

    attempt = Attempt.objects.get(pk=sending.parcel.attempt_id)
    webhook = Webhook.objects.get()
    assert [one.pk for one in silent] == [attempt.pk]
    assert (attempt.state, attempt.failure) == (AttemptState.IN_DOUBT, Failure.CRASHED)
    assert (webhook.used, webhook.in_flight) == (1, 0)
    assert delivering.doubt_the_silent(now=clock.now()) == []


def test_a_late_definite_answer_settles_the_doubt(project: Project, integration: Integration) -> None:
    sending = begin(order(project))
    delivering.doubt_the_silent(now=clock.now())

    outcome = finish(sending)

    assert outcome.attempt.state == AttemptState.ACCEPTED
    assert outcome.counts == (1, 0)


def test_a_late_refusal_gives_the_unit_and_the_ledger_entry_back(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    sending = begin(order(project))
    delivering.doubt_the_silent(now=clock.now())
    clay.next_answers(Behaviour(fail=400))

    outcome = finish(sending)

    assert outcome.attempt.state == AttemptState.REFUSED
    assert outcome.counts == (0, 0)
    assert not LedgerEntry.objects.exists()


def test_an_outcome_is_recorded_once(project: Project, integration: Integration) -> None:
    outcome = deliver(project)

    with transaction.atomic():
        refused = Delivery(state=AttemptState.REFUSED, status=400)
        delivering.record(outcome.sending, outcome.exchange, refused, now=clock.now())

    assert outcome.attempt.state == AttemptState.ACCEPTED
    assert outcome.counts == (1, 0)


# --- before the socket opens ---


def test_the_attempt_is_written_down_as_sending_with_its_digest(project: Project, integration: Integration) -> None:
    sending = begin(order(project, run_id="run_1", step_id="run_1:push", number=2))

    attempt = Attempt.objects.get()
    webhook = Webhook.objects.get()
    body = '{"email":"ada@example.com","request_id":"req_123"}'
    assert attempt.pk == sending.parcel.attempt_id
    assert attempt.state == AttemptState.SENDING
    assert (attempt.body, attempt.body_digest) == (body, ledger.digest(body))
    assert attempt.body_size == len(body)
    assert (attempt.request_id, attempt.run_id, attempt.step_id) == ("req_123", "run_1", "run_1:push")
    assert attempt.number == 2
    assert (webhook.used, webhook.in_flight) == (0, 1)


def test_a_step_s_callback_address_goes_over_the_wire_but_not_into_the_database(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    row = {"payload": {"email": "a"}, "request_id": "r", "callback_url": delivering.CALLBACK_PLACEHOLDER}
    address = "http://console.test/v1/callbacks/a-very-secret-token"

    outcome = deliver(project, row, step_id="run_1:push", callback_url=address)

    assert clay.rows[0].body["callback_url"] == address
    assert "a-very-secret-token" not in outcome.attempt.body
    assert delivering.CALLBACK_PLACEHOLDER in outcome.attempt.body


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({}, "payload is missing"),
        ({"payload": [1]}, "one run, or write one step, per row"),
        ({"payload": {}, "request": "x"}, "Unknown parameter request"),
        ({"payload": {}, "request_id": 7}, "request_id must be text"),
        ({"payload": {"notes": "x" * 110_000}}, "Clay takes 102,400"),
    ],
)
def test_a_row_that_clay_would_refuse_is_not_tried(
    project: Project, integration: Integration, parameters: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ActionInputInvalid, match=reason):
        delivering.prepare(order(project, parameters))

    assert not Attempt.objects.exists()


def test_without_a_connection_the_sentence_says_where_to_connect(project: Project) -> None:
    with pytest.raises(NotConnected, match="Connect it under Govern > Integrations"):
        delivering.prepare(order(project))


def test_an_unknown_integration_is_answered_with_the_choices(project: Project, integration: Integration) -> None:
    with pytest.raises(NotConnected, match="there is: clay"):
        delivering.prepare(order(project, integration="sales"))


def test_several_integrations_need_a_name_unless_one_is_named_like_its_provider(
    project: Project, clay: ClaySimulator
) -> None:
    for name in ("sales", "marketing"):
        connecting.connect(
            project=project,
            provider=get_provider("clay"),
            connection=Connection(webhook_url=clay.url_for(name)),
            options=Options(name=name, rate_per_second=UNLIMITED),
        )
    with pytest.raises(NotConnected, match=r"say which in parameters\.integration: marketing, sales"):
        delivering.prepare(order(project))

    deliver(project, integration="sales")

    assert [row.source for row in clay.rows] == ["sales"]


def test_an_unreadable_secret_disables_the_integration_and_sends_nothing(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    spoil_secrets()

    with pytest.raises(SecretUnreadable):
        delivering.prepare(order(project))

    integration.refresh_from_db()
    assert integration.status == IntegrationStatus.EXPIRED
    assert "Connect again" in integration.attention
    assert clay.rows == []


def spoil_secrets() -> None:
    """As if they had been encrypted with a key that we do not hold."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("UPDATE integrations_webhooksecret SET url = 'gAAAAABnonsense'")
    assert WebhookSecret.objects.count() == 1


# --- the ledger ---


def test_the_same_row_again_gives_the_first_result_and_sends_nothing(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    first = deliver(project)

    again = reserve(order(project))

    assert isinstance(again, AlreadyAccepted)
    assert again.delivery.output == first.delivery.output | {"duplicate": True}
    assert len(clay.rows) == 1
    assert first.counts == (1, 0)


def test_the_same_row_waits_while_the_first_is_on_the_wire(project: Project, integration: Integration) -> None:
    first = begin(order(project, run_id="run_1"))

    again = reserve(order(project, run_id="run_2"))

    assert isinstance(again, NotNow)
    assert (again.reason, again.waits_for) == ("same_row", first.parcel.attempt_id)
    assert "run_1" in again.message
    assert delivering.room_at(again.waits_for, now=clock.now()) == 0

    finish(first)

    assert delivering.room_at(again.waits_for, now=clock.now()) > 0


def test_the_same_row_waits_while_the_first_is_in_doubt(project: Project, integration: Integration) -> None:
    first = begin(order(project, run_id="run_1"))
    delivering.doubt_the_silent(now=clock.now())

    again = reserve(order(project, run_id="run_2"))

    assert isinstance(again, NotNow)
    assert (again.reason, again.waits_for) == ("same_row", first.parcel.attempt_id)
    assert "in doubt in run_1" in again.message


def test_a_row_that_was_refused_may_be_sent_again(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(Behaviour(fail=400))
    deliver(project)

    again = deliver(project)

    assert again.attempt.state == AttemptState.ACCEPTED
    assert len(clay.rows) == 1


def test_another_body_under_the_same_request_id_is_sent_with_a_warning(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    deliver(project)

    other = deliver(project, {"payload": {"email": "bob@example.com"}, "request_id": "req_123"})

    assert "request_id req_123" in other.sending.warnings[0]
    assert len(clay.rows) == 2


def test_rows_without_a_request_id_are_sent_each_time_and_none_is_invented(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    for _ in range(2):
        deliver(project, {"payload": {"email": "a"}})

    assert [row.body for row in clay.rows] == [{"email": "a"}] * 2
    assert not LedgerEntry.objects.exists()


def test_without_the_switch_a_row_is_sent_each_time(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    Integration.objects.update(never_twice=False)

    for _ in range(2):
        deliver(project)

    assert len(clay.rows) == 2


def test_the_same_text_with_another_step_s_callback_address_is_another_row(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    row = {"payload": {}, "request_id": "r", "callback_url": delivering.CALLBACK_PLACEHOLDER}

    for run in ("run_1", "run_2"):
        deliver(project, row, step_id=f"{run}:push", callback_url=f"http://console.test/v1/callbacks/{run}")

    assert [row.body["callback_url"][-5:] for row in clay.rows] == ["run_1", "run_2"]


def test_another_url_starts_another_ledger(project: Project, integration: Integration, clay: ClaySimulator) -> None:
    deliver(project)
    connecting.connect(
        project=project, provider=get_provider("clay"), connection=Connection(webhook_url=clay.url_for("new"))
    )

    deliver(project)

    assert len(clay.rows) == 2


# --- budget, pace and pause ---


def test_at_the_limit_nothing_is_sent(project: Project, integration: Integration, clay: ClaySimulator) -> None:
    Webhook.objects.update(submission_limit=2, used=1)
    deliver(project, {"payload": {"n": 1}})

    with pytest.raises(SubmissionLimitReached, match=r"all of its 2 rows.*connect its URL"):
        reserve(order(project, {"payload": {"n": 2}}))

    assert len(clay.rows) == 1
    assert Webhook.objects.get().in_flight == 0


def test_rows_in_flight_count_but_only_for_a_second(project: Project, integration: Integration) -> None:
    Webhook.objects.update(submission_limit=1)
    begin(order(project, {"payload": {"n": 1}}))
    before = clock.now()

    answer = reserve(order(project, {"payload": {"n": 2}}))

    assert isinstance(answer, NotNow)
    assert answer.reason == "at_limit"
    assert answer.wake_at is not None
    assert timedelta(0) < answer.wake_at - before < timedelta(seconds=2)


def test_at_the_limit_a_row_waits_when_the_integration_says_so(project: Project, integration: Integration) -> None:
    Integration.objects.update(wait_at_limit=True)
    Webhook.objects.update(submission_limit=1, used=1)

    answer = reserve(order(project))

    assert isinstance(answer, NotNow)
    assert (answer.reason, answer.waits_for, answer.wake_at) == ("at_limit", Webhook.objects.get().pk, None)


def test_an_unlimited_webhook_has_no_limit(project: Project, integration: Integration) -> None:
    Webhook.objects.update(submission_limit=None, used=1_000_000)

    assert deliver(project).counts == (1_000_001, 0)


def test_clay_s_own_limit_text_pauses_at_once(project: Project, clay: ClaySimulator, integration: Integration) -> None:
    clay.change(limit=0)

    outcome = deliver(project)

    integration.refresh_from_db()
    assert outcome.delivery.at_limit
    assert integration.status == IntegrationStatus.INACTIVE
    assert "50,000" in integration.attention


def test_after_a_burst_rows_wait_for_their_turn(project: Project, integration: Integration) -> None:
    Pacer.objects.update(rate_per_second=5, burst=3)

    answers_given = [reserve(order(project, {"payload": {"n": n}})) for n in range(4)]

    assert [type(answer) for answer in answers_given] == [Sending, Sending, Sending, NotNow]
    assert Webhook.objects.get().in_flight == 3
    assert Attempt.objects.count() == 3


def test_a_row_that_finds_no_unit_gives_its_slot_back(project: Project, integration: Integration) -> None:
    Pacer.objects.update(rate_per_second=5, burst=3, tat=clock.now().timestamp())
    Integration.objects.update(wait_at_limit=True)
    Webhook.objects.update(submission_limit=1, used=1)
    before = Pacer.objects.get().tat

    reserve(order(project))

    assert Pacer.objects.get().tat == pytest.approx(before, abs=0.001)


def test_a_paused_integration_s_rows_wait(project: Project, integration: Integration, clay: ClaySimulator) -> None:
    connecting.pause(integration)

    answer = reserve(order(project))

    assert isinstance(answer, NotNow)
    assert (answer.reason, answer.waits_for) == ("integration_paused", integration.pk)
    assert delivering.room_at(integration.pk, now=clock.now()) == 0
    connecting.resume(integration)
    assert delivering.room_at(integration.pk, now=clock.now()) > 0
    assert deliver(project).attempt.state == AttemptState.ACCEPTED


def test_a_test_is_sent_although_the_integration_is_paused(project: Project, integration: Integration) -> None:
    connecting.pause(integration)

    outcome = deliver(project, kind=AttemptKind.TEST)

    assert outcome.attempt.state == AttemptState.ACCEPTED
    assert not LedgerEntry.objects.exists()


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_the_third_refusal_of_the_webhook_in_a_row_pauses_the_integration(
    project: Project, integration: Integration, clay: ClaySimulator, code: int
) -> None:
    clay.next_answers(*[Behaviour(fail=code)] * 3)
    seen = []

    for _ in range(3):
        deliver(project)
        integration.refresh_from_db()
        seen.append((integration.status, bool(integration.attention)))

    assert seen == [("active", True), ("active", True), ("inactive", True)]
    assert str(code) in integration.attention


def test_a_row_that_goes_through_starts_the_count_anew(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(*[Behaviour(fail=401)] * 2, Behaviour(), *[Behaviour(fail=401)] * 2)

    for number in range(5):
        deliver(project, {"payload": {"n": number}})

    integration.refresh_from_db()
    assert integration.status == IntegrationStatus.ACTIVE


def test_a_row_s_own_fault_does_not_count_against_the_webhook(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(*[Behaviour(fail=400)] * 4)

    for _ in range(4):
        deliver(project)

    integration.refresh_from_db()
    assert integration.status == IntegrationStatus.ACTIVE


# --- secrets ---


def echoes(server: Server, connection: socket.socket) -> None:
    """Answers with all that it was sent, as a debugging server does."""
    request = server.read_request(connection)
    connection.sendall(status(404, body=b"You sent to " + server.url.encode() + b":\n" + request))


def test_our_own_secrets_are_scrubbed_from_an_echo(project: Project, settings: Any) -> None:
    row = {"payload": {"email": "ada@example.com", "back": delivering.CALLBACK_PLACEHOLDER}}
    address = "http://console.test/v1/callbacks/a-very-secret-token"

    with Server(echoes) as server:
        connect_to(project, server.url, settings, allow=server.allow)
        outcome = deliver(project, row, step_id="run_1:push", callback_url=address)

    assert "ada@example.com" in outcome.attempt.response
    for secret in ("table-path", "hush-hush-token", "a-very-secret-token"):
        assert secret not in outcome.attempt.response
        assert secret not in repr(outcome)


def test_an_echo_with_escaped_slashes_is_scrubbed_too(project: Project, settings: Any) -> None:
    with Server(
        lambda server, connection: answers(status(200, body=escaped(server.url)))(server, connection)
    ) as server:
        connect_to(project, server.url, settings, allow=server.allow)
        outcome = deliver(project)

    assert "table-path" not in outcome.attempt.response
    assert "table-path" not in str(outcome.delivery.output)


def escaped(url: str) -> bytes:
    return b'{"url":"%s"}' % url.replace("/", "\\/").encode()


def test_stages_are_told_as_they_are_reached(project: Project, integration: Integration) -> None:
    reached: list[Stage] = []

    delivering.send(begin(order(project)), on_stage=reached.append)

    assert reached == list(Stage)


def test_no_transaction_is_needed_while_a_row_is_on_the_wire(
    project: Project,
    integration: Integration,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    sending = begin(order(project))
    none: AbstractContextManager[Any] = django_assert_num_queries(0)

    with none:
        delivering.send(sending)
