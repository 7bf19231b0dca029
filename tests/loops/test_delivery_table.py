"""The table of design §4, end to end over real sockets: a run is started, and this is what becomes of everything.

Each line says how the far side behaves and which row of the table that is. What a row of the table means for the
attempt, the step, the run, the webhook's units and the ledger stands once, in `ROWS`; what a person reads stands in
the line.
"""

from __future__ import annotations

import gzip
import html
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from integrations import connecting, delivering, outbound
from integrations.forms import UNLIMITED, Options
from integrations.models import Attempt, Integration, IntegrationStatus, LedgerEntry, Pacer, Webhook
from integrations.providers.contract import Connection
from integrations.providers.registry import get_provider
from mobius.projects.models import Project
from tests.cast import work_off
from tests.integrations.sockets import OK, Authority, Deaf, Server, answers, drips, resets
from tests.loops.flow import JsonObject, begin, fresh, loop_of, push, step_of

pytestmark = pytest.mark.django_db

Behave = Callable[[Server, socket.socket], None]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the table, as far as it does not depend on the answer's details."""

    attempt: str
    step: tuple[str, str]  # status and error_type
    run: str
    units: tuple[int, int]  # used, in flight
    held: bool  # does the ledger hold the row, so that it is not sent again?


ROWS = {
    "accepted": Row(attempt="accepted", step=("completed", ""), run="completed", units=(1, 0), held=True),
    "not sent": Row(attempt="not_sent", step=("failed", "delivery_not_sent"), run="failed", units=(0, 0), held=False),
    "refused": Row(attempt="refused", step=("failed", "delivery_refused"), run="failed", units=(0, 0), held=False),
    "too fast": Row(attempt="refused", step=("failed", "rate_limited"), run="failed", units=(0, 0), held=False),
    "error": Row(attempt="in_doubt", step=("failed", "delivery_in_doubt"), run="failed", units=(1, 0), held=True),
    "silence": Row(
        attempt="in_doubt", step=("suspended", "delivery_in_doubt"), run="suspended", units=(1, 0), held=True
    ),
}


def status(code: int, *, body: bytes = b"no", headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d Word\r\n%sContent-Length: %d\r\n\r\n%s" % (code, headers, len(body), body)


def packed(code: int) -> bytes:
    return status(code, body=gzip.compress(b"x" * 10_000_000), headers=b"Content-Encoding: gzip\r\n")


def endless(code: int) -> Behave:
    """A body without an end, as fast as it is read."""

    def behave(server: Server, connection: socket.socket) -> None:
        server.read_request(connection)
        connection.sendall(b"HTTP/1.1 %d Word\r\n\r\n" % code)
        while not server.stopped.is_set():
            connection.sendall(b"x" * 65_536)

    return behave


def silent(server: Server, connection: socket.socket) -> None:
    server.read_request(connection)
    server.stopped.wait(2)


ANSWERS: list[tuple[str, Behave, str, int | None, str]] = [
    # what the far side does | how | row of the table | status code | words that a person reads
    ("200", answers(OK), "accepted", 200, "Every step has ended well."),
    ("201", answers(status(201)), "accepted", 201, "Every step has ended well."),
    ("204", answers(b"HTTP/1.1 204 No Content\r\n\r\n"), "accepted", 204, "Every step has ended well."),
    ("200 with a dripped body", drips(b"HTTP/1.1 200 OK\r\n\r\n", b"x"), "accepted", 200, "Every step has ended well."),
    ("200 with dripped headers", drips(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"), "accepted", 200, "Every step has ended"),
    ("200 with an endless body", endless(200), "accepted", 200, "Every step has ended well."),
    ("200 with a packed body", answers(packed(200)), "accepted", 200, "Every step has ended well."),
    ("200 and a reset", resets(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), "accepted", 200, "has ended well"),
    ("200 after 100 Continue", answers(b"HTTP/1.1 100 Continue\r\n\r\n" + OK), "accepted", 200, "has ended well"),
    ("301", answers(status(301, headers=b"Location: /\r\n")), "refused", 301, "sent us elsewhere"),
    ("302", answers(status(302, headers=b"Location: /\r\n")), "refused", 302, "sent us elsewhere"),
    ("307", answers(status(307, headers=b"Location: /\r\n")), "refused", 307, "Connect the final URL"),
    ("308", answers(status(308)), "refused", 308, "sent us elsewhere"),
    ("400", answers(status(400)), "refused", 400, "Clay could not use the request"),
    ("401", answers(status(401)), "refused", 401, "The token is missing or wrong."),
    ("403", answers(status(403)), "refused", 403, "Open the webhook's source in Clay"),
    ("403 at the limit", answers(status(403, body=b"Record limit reached for webhook")), "refused", 403, "50,000 rows"),
    ("404", answers(status(404)), "refused", 404, "There is no webhook at this URL"),
    ("410", answers(status(410)), "refused", 410, "The webhook at this URL is gone."),
    ("413", answers(status(413)), "refused", 413, "Send fewer or shorter values"),
    ("422", answers(status(422)), "refused", 422, "Check the URL and the row."),
    ("429", answers(status(429)), "too fast", 429, "Give the step a retry"),
    ("404 with an endless body", endless(404), "refused", 404, "There is no webhook at this URL"),
    ("500", answers(status(500)), "error", 500, "an error of its own"),
    ("501", answers(status(501)), "error", 501, "an error of its own"),
    ("502", answers(status(502)), "error", 502, "Look for the request_id"),
    ("503", answers(status(503, headers=b"Retry-After: 1\r\n")), "error", 503, "may or may not have arrived"),
    ("504", answers(status(504)), "error", 504, "an error of its own"),
    ("500 with a packed body", answers(packed(500)), "error", 500, "an error of its own"),
    ("502 and a reset", resets(b"HTTP/1.1 502 Bad\r\nContent-Length: 9\r\n\r\n"), "error", 502, "an error of its own"),
    ("503 with dripped headers", drips(b"HTTP/1.1 503 Busy\r\n", b"A: b\r\n"), "error", 503, "an error of its own"),
    ("404 and a reset", resets(b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n"), "error", 404, "answered 404"),
    ("429 and a reset", resets(b"HTTP/1.1 429 Slow\r\nContent-Length: 9\r\n\r\n"), "error", 429, "answered 429"),
    ("400 with dripped headers", drips(b"HTTP/1.1 400 Bad\r\n", b"A: b\r\n"), "error", 400, "answered 400"),
    ("400 with a packed body", answers(packed(400)), "error", 400, "answered 400"),
    ("no answer", silent, "silence", None, "no answer came back"),
    ("a reset", resets(b""), "silence", None, "no answer came back"),
    ("a hang-up", answers(b""), "silence", None, "may or may not have arrived"),
    ("nonsense", answers(b"SSH-2.0-OpenSSH_9.6\r\n"), "silence", None, "no answer came back"),
    ("half a status line", resets(b"HTTP/1."), "silence", None, "no answer came back"),
    ("a dripped status line", drips(b"", b"H"), "silence", None, "no answer came back"),
    ("endless 100 Continue", drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "silence", None, "no answer came back"),
    ("a switch of protocols", answers(b"HTTP/1.1 101 Switching\r\n\r\n"), "silence", None, "no answer came back"),
]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A send may take half a second, not twenty, and a connection less, not five."""
    monkeypatch.setattr(delivering, "SEND_SECONDS", 0.5)
    monkeypatch.setattr(outbound, "CONNECT_SECONDS", 0.3)


@dataclass
class Stage:
    """`platform`, connected to a far side that behaves as it is told to."""

    project: Project
    settings: Any
    client: Client

    def connect(self, url: str, *, port: int, **options: Any) -> Integration:
        self.settings.MOBIUS_OUTBOUND_ALLOW = [f"127.0.0.1/32:{port}"]
        return connecting.connect(
            project=self.project,
            provider=get_provider("clay"),
            connection=Connection(webhook_url=url),
            options=Options(**({"rate_per_second": UNLIMITED} | options)),
        )

    def run(self, **fields: Any) -> Any:
        run = begin(loop_of(self.project, push(**fields)))
        work_off()
        return fresh(run)

    def page(self, run: Any) -> str:
        """The words of the run's page."""
        answer = self.client.get(f"/projects/platform/operate/runs/{run.pk}/")
        assert answer.status_code == 200
        return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", answer.content.decode())))


@pytest.fixture
def stage(project: Project, settings: Any, client: Client, vera: User) -> Stage:
    client.force_login(vera)
    return Stage(project, settings, client)


def assert_row(stage: Stage, run: Any, name: str, *, code: int | None, words: str) -> None:
    row, attempt, webhook = ROWS[name], Attempt.objects.get(), Webhook.objects.get()
    step = step_of(run)
    assert (attempt.state, attempt.status_code) == (row.attempt, code)
    assert (step.status, step.error_type) == row.step
    assert run.status == row.run
    assert (webhook.used, webhook.in_flight) == row.units
    assert LedgerEntry.objects.filter(attempt=attempt).exists() is row.held
    assert words in stage.page(run)
    with time_machine.travel(timezone.now() + timedelta(days=1)):
        work_off()
    assert Attempt.objects.count() == 1, "nothing is sent again by itself"


@pytest.mark.parametrize(("behave", "row", "code", "words"), [pytest.param(*one, id=name) for name, *one in ANSWERS])
def test_what_becomes_of_a_row_that_the_far_side_answers_like_this(
    stage: Stage, behave: Behave, row: str, code: int | None, words: str
) -> None:
    with Server(behave) as server:
        stage.connect(server.url, port=server.port)

        run = stage.run()

    assert_row(stage, run, row, code=code, words=words)
    assert len(server.requests) == 1


# --- before the first byte -------------------------------------------------------------------------------------------


@contextmanager
def unknown_name(stage: Stage, monkeypatch: pytest.MonkeyPatch, _: Path) -> Iterator[None]:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr("integrations.addresses.socket.getaddrinfo", fail)
    stage.connect("https://hooks.example.com/x", port=9)
    yield


@contextmanager
def closed_port(stage: Stage, _: pytest.MonkeyPatch, __: Path) -> Iterator[None]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    stage.connect(f"http://127.0.0.1:{port}/x", port=port)
    yield


@contextmanager
def deaf_port(stage: Stage, _: pytest.MonkeyPatch, __: Path) -> Iterator[None]:
    with Deaf() as deaf:
        stage.connect(f"http://127.0.0.1:{deaf.port}/x", port=deaf.port)
        yield


def certificate(name: str, *, days: int = 1, trusted: bool = True) -> Any:
    """A server that presents this certificate, from an authority that we trust or not."""

    @contextmanager
    def enter(stage: Stage, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[None]:
        authority, context = Authority(folder), outbound._tls_context.__wrapped__()
        if trusted:
            authority.trusted_by(context)
        monkeypatch.setattr(outbound, "_tls_context", lambda: context)
        with Server(answers(OK), tls=authority.server_context(name, days=days)) as server:
            stage.connect(server.url.replace("http://", "https://"), port=server.port)
            yield
        assert server.requests == []

    return enter


@contextmanager
def no_tls(stage: Stage, _: pytest.MonkeyPatch, __: Path) -> Iterator[None]:
    with Server(lambda _, connection: connection.sendall(b"HTTP/1.1 400 Speak HTTP\r\n\r\n")) as server:
        stage.connect(server.url.replace("http://", "https://"), port=server.port)
        yield


UNREACHED: list[tuple[str, Any, str]] = [
    ("a name that nobody knows", unknown_name, "The address does not resolve"),
    ("a closed port", closed_port, "The server refused the connection."),
    ("a port that does not answer", deaf_port, "did not answer the connection within 5 seconds"),
    ("a certificate from a stranger", certificate("127.0.0.1", trusted=False), "The server's certificate is not valid"),
    ("a certificate for another name", certificate("other.test"), "The server's certificate is not valid"),
    ("a certificate that has expired", certificate("127.0.0.1", days=-1), "has expired, or is not trusted"),
    ("a server that does not speak TLS", no_tls, "The server's certificate is not valid"),
]


@pytest.mark.parametrize(("far_side", "words"), [pytest.param(*one, id=name) for name, *one in UNREACHED])
def test_a_row_that_did_not_begin_to_leave_is_known_not_to_exist(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, far_side: Any, words: str
) -> None:
    with far_side(stage, monkeypatch, tmp_path):
        run = stage.run()

    assert_row(stage, run, "not sent", code=None, words=words)


# --- a step's retry --------------------------------------------------------------------------------------------------

RETRY: JsonObject = {"max_attempts": 3, "delay": "8s"}


@pytest.fixture
def longest_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chance that spreads the back-off falls on its longest."""
    monkeypatch.setattr("loops.acting.secrets.randbelow", lambda below: below - 1)


def seconds_left(run: Any) -> float:
    return float((run.wake_at - timezone.now()).total_seconds())


def in_http(**distance: float) -> bytes:
    return format_datetime(timezone.now() + timedelta(**distance), usegmt=True).encode()


@pytest.mark.usefixtures("longest_wait")
@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (b"30", 30),
        (b"0", 8),
        (b"5", 8),
        (b" 30 ", 30),
        (b"86400", 3600),
        (b"9" * 400, 3600),
        (b"-30", 8),
        (b"30.5", 8),
        (b"soon", 8),
        (b"", 8),
        (None, 8),
        ("in ninety seconds", 90),
        ("yesterday", 8),
        ("in a week", 3600),
        (b"Wed, 21 Oct 2015 07:28:00 GMT", 8),
        (b"Wednesday, 21-Oct-15 07:28:00 GMT", 8),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value)[:24],
)
def test_after_a_429_the_step_waits_for_retry_after_or_its_back_off_whichever_is_longer(
    stage: Stage, text: bytes | str | None, seconds: float
) -> None:
    dates = {"in ninety seconds": {"seconds": 90}, "yesterday": {"days": -1}, "in a week": {"days": 7}}
    value = in_http(**dates[text]) if isinstance(text, str) else text
    header = b"" if value is None else b"Retry-After: %s\r\n" % value
    with Server(answers(status(429, headers=header))) as server:
        stage.connect(server.url, port=server.port)

        run = stage.run(retry=RETRY)

    step, pacer = step_of(run), Pacer.objects.get()
    assert (run.status, step.status, step.error_type) == ("suspended", "suspended", "retrying")
    assert seconds_left(run) == pytest.approx(seconds, abs=3)
    assert "The next attempt is due" in stage.page(run)
    if seconds > 8:
        assert pacer.held_until - timezone.now().timestamp() == pytest.approx(seconds, abs=3), "for the whole workspace"


@contextmanager
def answering(*in_turn: bytes) -> Iterator[Server]:
    """Each request gets the next answer, the last one again and again."""
    left = list(in_turn)

    def behave(server: Server, connection: socket.socket) -> None:
        answers(left.pop(0) if len(left) > 1 else left[0])(server, connection)

    with Server(behave) as server:
        yield server


@pytest.mark.usefixtures("longest_wait")
def test_the_delay_doubles_with_each_attempt_and_the_last_one_fails_the_step(stage: Stage) -> None:
    waits = []
    with answering(status(429)) as server, time_machine.travel(timezone.now(), tick=False) as now:
        stage.connect(server.url, port=server.port)
        run = stage.run(retry={"max_attempts": 4, "delay": "10s"})
        while run.wake_at is not None:
            waits.append(round(seconds_left(run)))
            now.move_to(run.wake_at)
            work_off()
            run = fresh(run)

    assert waits == [10, 20, 40]
    assert (run.status, run.error_type) == ("failed", "rate_limited")
    assert [attempt.number for attempt in Attempt.objects.order_by("id")] == [1, 2, 3, 4]
    assert Webhook.objects.get().used == 0


def test_the_jitter_is_full(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loops.acting.secrets.randbelow", lambda _: 0)
    with answering(status(429)) as server:
        stage.connect(server.url, port=server.port)

        run = stage.run(retry={"max_attempts": 2, "delay": "1h"})

    assert seconds_left(run) == pytest.approx(1, abs=1), "a 429 without Retry-After asks for a second"


@pytest.mark.parametrize(
    ("answer", "attempts"), [(status(400), 1), (status(503), 1), (status(307), 1), (b"", 1), (status(429), 3)]
)
def test_only_what_left_no_row_and_may_go_better_is_tried_again(stage: Stage, answer: bytes, attempts: int) -> None:
    with answering(answer) as server:
        stage.connect(server.url, port=server.port)
        run = stage.run(retry={"max_attempts": 3})
        for hour in (1, 2, 3):
            with time_machine.travel(timezone.now() + timedelta(hours=hour)):
                work_off()

    assert Attempt.objects.filter(run_id=run.pk).count() == len(server.requests) == attempts


def test_what_was_not_sent_goes_out_once_the_far_side_is_there(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    stage.connect(f"http://127.0.0.1:{port}/table-path?key=abc", port=port)
    run = stage.run(retry=RETRY)
    assert step_of(run).error_type == "retrying"

    with Server(answers(OK)) as server:
        stage.connect(server.url, port=server.port)
        with time_machine.travel(timezone.now() + timedelta(minutes=1)):
            work_off()

    assert fresh(run).status == "completed"
    assert [attempt.state for attempt in Attempt.objects.order_by("id")] == ["not_sent", "accepted"]


# --- timeouts --------------------------------------------------------------------------------------------------------


def test_a_timeout_that_passes_between_two_attempts_fails_the_step_and_says_why_it_waited(stage: Stage) -> None:
    with answering(status(429, headers=b"Retry-After: 600\r\n")) as server:
        stage.connect(server.url, port=server.port)
        run = stage.run(retry=RETRY, timeout={"duration": "5m"})
        assert seconds_left(run) == pytest.approx(300, abs=3), "not the ten minutes of Retry-After"

        with time_machine.travel(timezone.now() + timedelta(minutes=6)):
            work_off()

    run = fresh(run)
    assert (run.status, run.error_type) == ("failed", "step_timed_out")
    assert "The step's timeout has passed. Clay answered 429." in stage.page(run)
    assert len(server.requests) == 1


def test_a_step_s_timeout_is_what_a_send_may_take(stage: Stage) -> None:
    with Server(silent) as server:
        stage.connect(server.url, port=server.port)
        began = timezone.now()

        run = stage.run(timeout={"duration": "300ms"})

    assert timezone.now() - began < timedelta(seconds=1)
    assert (run.status, run.error_type) == ("failed", "step_timed_out")
    assert (Attempt.objects.get().state, Webhook.objects.get().used) == ("in_doubt", 1), "the doubt stays"
    assert "may or may not have arrived" in stage.page(run)


def test_a_wall_clock_that_passes_in_doubt_fails_the_run_and_the_doubt_stays(stage: Stage) -> None:
    with Server(resets(b"")) as server:
        stage.connect(server.url, port=server.port)
        run = begin(loop_of(stage.project, push(retry=RETRY), limits={"wall_clock_timeout": "10m"}))
        work_off()
    waiting = fresh(run)
    assert (waiting.status, waiting.wake_at) == ("suspended", waiting.wall_clock_deadline_at)

    with time_machine.travel(timezone.now() + timedelta(minutes=11)):
        work_off()

    run = fresh(run)
    assert (run.status, run.stop_reason) == ("failed", "wall_clock_exceeded")
    assert Attempt.objects.get().state == "in_doubt"
    assert LedgerEntry.objects.exists()
    assert "Look for the request_id" in stage.page(run)


# --- what the integration learns -------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_the_third_refusal_in_a_row_pauses_the_integration_and_the_next_row_waits(stage: Stage, code: int) -> None:
    with answering(status(code)) as server:
        integration = stage.connect(server.url, port=server.port)
        for _ in range(2):
            stage.run()
            integration.refresh_from_db()
            assert (integration.status, bool(integration.attention)) == (IntegrationStatus.ACTIVE, True)
        stage.run()
        waiting = stage.run()

    integration.refresh_from_db()
    assert integration.status == IntegrationStatus.INACTIVE
    assert step_of(waiting).error_type == "integration_paused"
    assert len(server.requests) == 3
    assert "Resume the integration" in stage.page(waiting)


def test_at_clay_s_own_limit_the_integration_is_paused_at_once(stage: Stage) -> None:
    with answering(status(403, body=b"Record limit reached for webhook")) as server:
        integration = stage.connect(server.url, port=server.port)
        stage.run()

    integration.refresh_from_db()
    assert integration.status == IntegrationStatus.INACTIVE
    assert "50,000 rows" in integration.attention


def test_a_redirect_is_flagged_at_the_integration_for_it_means_every_row(stage: Stage) -> None:
    with answering(status(301)) as server:
        integration = stage.connect(server.url, port=server.port)
        for _ in range(4):
            stage.run()

    integration.refresh_from_db()
    assert integration.status == IntegrationStatus.ACTIVE
    assert "Connect the final URL" in integration.attention


def test_what_concerns_one_row_does_not_touch_the_integration(stage: Stage) -> None:
    with answering(status(400), status(422), status(413), status(500), OK) as server:
        integration = stage.connect(server.url, port=server.port)
        for _ in range(4):
            stage.run()

    integration.refresh_from_db()
    assert (integration.status, integration.attention) == (IntegrationStatus.ACTIVE, "")
