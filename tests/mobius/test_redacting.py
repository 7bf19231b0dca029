"""Whatever is written for people, no secret stands in it."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import path
from django.utils.log import AdminEmailHandler
from django.views.debug import technical_500_response

from integrations.providers.contract import Connection
from mobius import error_tracker, redacting
from mobius.logs import JsonFormatter
from mobius.redacting import RedactingFilter, redact, redact_tracebacks, remember

KEY = "mbx_Planted-key_0123456789abcdefghijklmnopqrstuvwxyz0a1b2c"
TOKEN = "PlantedCallbackToken_0123456789-abcdefghijk"
URL = "https://api.clay.com/v3/sources/webhook/planted-url-path?also=planted-query"
VALUE = 'Bearer planted<header>"value'
PLANTED = [KEY, TOKEN, URL, VALUE, "planted-url-path", "planted-query", 'planted<header>"value', "planted&lt;header"]


@pytest.fixture(autouse=True)
def _connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known but this."""
    monkeypatch.setattr(redacting, "_webhooks", redacting.Memory(most=100))
    Connection(webhook_url=URL, auth_header_name="Authorization", auth_header_value=VALUE)


def assert_clean(text: str) -> None:
    assert [planted for planted in PLANTED if planted in text] == []


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"key {KEY}.platform", "key mbx_[removed].platform"),
        (f"POST /v1/callbacks/{TOKEN} 404", "POST /v1/callbacks/[removed] 404"),
        (f"POST /v1/triggers/http/{TOKEN} 404", "POST /v1/triggers/http/[removed] 404"),
        (f"next=%2Fv1%2Ftriggers%2Fhttp%2F{TOKEN}", "next=%2Fv1%2Ftriggers%2Fhttp%2F[removed]"),
        (rf'{{"u": "http:\/\/x\/v1\/callbacks\/{TOKEN}"}}', r'{"u": "http:\/\/x\/v1\/callbacks\/[removed]"}'),
        (f"next=%2Fv1%2Fcallbacks%2F{TOKEN}", "next=%2Fv1%2Fcallbacks%2F[removed]"),
        ("Authorization: Bearer abcdefgh.ijk/lm==, x", "Authorization: Bearer [removed], x"),
        ("gAAAAABnX0123456789_-abcdef==", "[removed]"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_[removed]"),
        (f"dialling {URL} failed", "dialling [removed] failed"),
        ("GET /v3/sources/webhook/planted-url-path 404", "GET [removed] 404"),
        (json.dumps({"value": VALUE}), '{"value": "[removed]"}'),
    ],
)
def test_a_secret_is_removed_by_its_form_or_to_the_letter(text: str, left: str) -> None:
    assert redact(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "mbx_abcd… is the prefix of a key",
        "POST v1/callbacks/<str:token> was answered with 429",
        "POST v1/triggers/http/<str:handle> was answered with 429",
        "WWW-Authenticate: Bearer",
        "run run_0123456789abcdef could not be advanced",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_the_memory_is_bounded_and_keeps_the_latest() -> None:
    memory = redacting.Memory(most=2)
    memory.add(["the-first-one", "the-second-one", "the-third-one"])

    assert memory.removed_from("the-first-one the-second-one the-third-one") == "the-first-one [removed] [removed]"


def test_of_two_secrets_where_one_begins_the_other_nothing_is_left() -> None:
    memory = redacting.Memory(most=9)
    memory.add(["https://a.example/one", "https://a.example/one-and-more"])

    assert memory.removed_from("dialling https://a.example/one-and-more") == "dialling [removed]"


# --- logs ---


@pytest.fixture(params=["text", "json"])
def log(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """What the product's own handler writes, at DEBUG."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RedactingFilter())
    handler.setFormatter(JsonFormatter() if request.param == "json" else logging.Formatter("%(message)s"))
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


def test_neither_message_arguments_traceback_nor_stack_of_a_log_line_holds_a_secret(log: io.StringIO) -> None:
    try:
        raise ValueError(f"{URL} with {VALUE}")
    except ValueError:
        logging.getLogger("some.library").exception("%s", TOKEN_PATH)
    logging.getLogger("deep.below").debug(f"{KEY} %s", VALUE, stack_info=True)

    assert_clean(log.getvalue())
    assert "ValueError" in log.getvalue()


TOKEN_PATH = f"/v1/callbacks/{TOKEN}"


def test_every_handler_of_the_product_redacts(settings: Any) -> None:
    handlers = settings.LOGGING["handlers"]

    assert handlers
    assert all("redact" in handler["filters"] for handler in handlers.values())
    assert all(not logger.get("handlers") for logger in settings.LOGGING["loggers"].values())


def test_a_traceback_that_python_prints_itself_is_redacted() -> None:
    program = f"from mobius.redacting import redact_tracebacks; redact_tracebacks(); raise RuntimeError({KEY!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "RuntimeError: mbx_[removed]" in done.stderr
    assert_clean(done.stderr)


def test_a_thread_that_dies_prints_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def die() -> None:
        raise RuntimeError(KEY)

    for owner in (sys, threading):
        monkeypatch.setattr(owner, "excepthook", owner.excepthook)  # what is set below is taken back
    redact_tracebacks()
    thread = threading.Thread(target=die)
    thread.start()
    thread.join()

    printed = capsys.readouterr().err
    assert "RuntimeError" in printed
    assert_clean(printed)


# --- error pages and mails ---


def explode(request: HttpRequest) -> HttpResponse:
    url, value, key, token = URL, VALUE, KEY, TOKEN  # noqa: F841  what a debug page would show
    raise RuntimeError(f"{URL} {VALUE} {KEY} /v1/callbacks/{TOKEN}")


urlpatterns = [path("explode", explode)]
handler500 = "mobius.api.envelope.handler500"


@pytest.fixture
def failing() -> Any:
    """A request full of secrets, to a page that fails."""
    return {
        "path": "/explode",
        "data": {"webhook_url": URL, "auth_header_value": VALUE},
        "HTTP_AUTHORIZATION": f"Bearer {KEY}",
        "HTTP_REFERER": f"http://console.test/v1/callbacks/{TOKEN}",
    }


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("debug", [False, True])
def test_the_page_of_a_failure_shows_no_secret_not_even_with_debug_on(
    client: Client, settings: Any, failing: Any, debug: bool
) -> None:
    settings.DEBUG = debug
    client.raise_request_exception = False

    page = client.post(**failing).content.decode()

    assert_clean(page)
    if debug:
        assert "RuntimeError" in page, "it is still a debug page"
        assert settings.FIELD_ENCRYPTION_KEY[0] not in page
        assert settings.SECRET_KEY not in page


@pytest.mark.parametrize("html", [False, True])
def test_neither_kind_of_error_mail_holds_a_secret(settings: Any, failing: Any, html: bool) -> None:
    settings.ADMINS = [("Ada", "ada@example.com")]
    handler = AdminEmailHandler(include_html=html)
    handler.addFilter(RedactingFilter())
    request = RequestFactory().post(**failing)
    try:
        explode(request)
    except RuntimeError:
        record = logging.LogRecord("django.request", logging.ERROR, "", 0, f"failed {KEY}", (), sys.exc_info())
    record.request = request  # type: ignore[attr-defined]

    handler.handle(record)

    (sent,) = mail.outbox
    text = sent.subject + str(sent.body) + "".join(str(one[0]) for one in getattr(sent, "alternatives", []))
    assert "RuntimeError" in text
    assert_clean(text)


def test_the_product_mails_text_only(settings: Any) -> None:
    assert "include_html" not in settings.LOGGING["handlers"]["mail"]


def test_a_database_s_password_does_not_stand_on_a_debug_page(settings: Any) -> None:
    password = "-".join(["planted", "password"])  # the page quotes these lines
    settings.DATABASE_URL = f"postgres://mobius:{password}@db/mobius"
    try:
        raise RuntimeError
    except RuntimeError:
        page = technical_500_response(RequestFactory().get("/"), *sys.exc_info()).content.decode()

    assert "RuntimeError" in page
    assert password not in page


# --- error trackers ---


def test_what_goes_to_an_error_tracker_is_scrubbed_to_the_last_corner() -> None:
    event = {
        "level": "error",
        "logentry": {"message": "%s", "params": [KEY, {"deep": URL}]},
        "request": {"url": f"/v1/callbacks/{TOKEN}", "data": {"auth_header_value": VALUE}},
        "exception": {"values": [{"value": URL, "stacktrace": {"frames": [{"vars": {"v": VALUE}, "lineno": 7}]}}]},
        "extra": {"odd": object(), "pair": (VALUE, 1)},
    }

    sent = error_tracker.scrubbed(event)

    assert_clean(json.dumps(sent))
    assert "request" not in sent
    assert sent["exception"]["values"][0]["stacktrace"]["frames"] == [{"lineno": 7}]


def test_errors_reach_the_tracker_without_a_secret() -> None:
    """Through the tracker's own client, to a transport that keeps what would have gone out."""
    sent: list[Any] = []

    class Kept(sentry_sdk.transport.Transport):  # type: ignore[misc, name-defined]
        def capture_envelope(self, envelope: Any) -> None:
            sent.append(envelope)

    error_tracker.start("https://public@tracker.example/1", transport=Kept)
    try:
        try:
            url, value = URL, VALUE  # noqa: F841
            raise RuntimeError(f"{URL} {VALUE}")
        except RuntimeError:
            logging.getLogger("mobius.somewhere").exception("%s failed", KEY)
        sentry_sdk.flush()
    finally:
        # Off again; its defaults would add their headers to every request of the tests that follow.
        sentry_sdk.init(default_integrations=False, auto_enabling_integrations=False)

    (envelope,) = sent
    told = envelope.serialize().decode()
    assert "RuntimeError" in told
    assert_clean(told)


def test_a_tracker_without_its_package_is_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)

    with pytest.raises(ImproperlyConfigured, match="SENTRY_DSN needs one more package"):
        error_tracker.start("https://public@tracker.example/1")


def test_a_nonsensical_tracker_address_is_refused_with_a_sentence() -> None:
    with pytest.raises(ImproperlyConfigured, match="SENTRY_DSN is no address"):
        error_tracker.start("nonsense")


def test_a_value_that_stands_in_every_text_is_left_alone() -> None:
    remember("", "a")

    assert redact("a mail server that fails") == "a mail server that fails"


def test_remembering_a_connection_costs_next_to_nothing_when_there_is_none() -> None:
    remember("", "")

    assert redact("plain text") == "plain text"
