"""Requests, answers, and every way in which there is none, over a real socket."""

from __future__ import annotations

import socket
import ssl
import urllib.error

import pytest

from mobius.remote import client as client_module
from mobius.remote import troubles
from mobius.remote.place import find_place
from tests.mobius.remote.scripted import HANGS_UP, KEY, RUN, Says, console, page, refusal

BUSY = refusal(429, "rate_limit_exceeded", "Too many requests.", Retry_After="0")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_PAUSES", (0.0, 0.0, 0.0))


def test_the_key_goes_along_and_the_answer_is_printed_as_it_came() -> None:
    body = b'{"items":[], "has_more":false}'
    with console(Says(body=body)) as api:
        done = api.mobius("runs", "list", "--json", "--project", "platform")

    assert (done.exit_code, done.stdout) == (0, body.decode() + "\n")
    assert api.asked[0].headers["Authorization"] == f"Bearer {KEY}"
    assert api.asked[0].path == "/v1/projects/platform/runs?limit=20"


def test_a_refusal_is_read_aloud_field_by_field_with_its_request() -> None:
    details = {"fields": {"event.email": ["This loop needs it."], "idempotency_key": ["Send text.", "Not a number."]}}
    with console(refusal(400, "bad_request", "event.email: This loop needs it.", details)) as api:
        done = api.mobius("runs", "start", "push-lead")

    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "Error: The request was refused. (400 bad_request)",
        "  event.email: This loop needs it.",
        "  idempotency_key: Send text. Not a number.",
        "Request: req_1",
    ]


def test_a_key_that_opens_nothing_is_named_by_where_it_came_from_and_never_shown() -> None:
    with console(refusal(401, "unauthorized", "The API key is unknown.")) as api:
        done = api.mobius("runs", "list")

    assert done.exit_code == 1
    assert "mbx_abcd… came from MOBIUS_API_KEY" in done.stderr
    assert KEY not in done.output


@pytest.mark.parametrize(
    "busy", [BUSY, refusal(503, "service_unavailable", "Locked."), HANGS_UP, Says(body=b"{", cut_off=True)]
)
def test_reads_are_asked_again_while_the_console_is_busy_or_breaks_off(busy: Says) -> None:
    with console(busy, busy, page()) as api:
        done = api.mobius("runs", "list", "--json")

    assert (done.exit_code, len(api.asked)) == (0, 3)
    assert done.stderr.count("Asking again in 0 s") == 2


def test_a_console_that_stays_busy_is_given_up_with_its_own_words() -> None:
    with console(BUSY) as api:
        done = api.mobius("runs", "list")

    assert (done.exit_code, len(api.asked)) == (1, 4)
    assert "Error: Too many requests. (429 rate_limit_exceeded)\nTry again in 0 seconds." in done.stderr


def test_a_wait_of_more_than_a_minute_is_left_to_the_caller() -> None:
    with console(refusal(429, "rate_limit_exceeded", "Too many.", Retry_After="61")) as api:
        done = api.mobius("runs", "list")

    assert (done.exit_code, len(api.asked)) == (1, 1)
    assert "Try again in 61 seconds." in done.stderr


@pytest.mark.parametrize("first", [BUSY, HANGS_UP])
def test_a_start_is_asked_again_under_one_and_the_same_key(first: Says) -> None:
    with console(first, Says(status=202, body=RUN)) as api:
        done = api.mobius("runs", "start", "push-lead")

    assert done.exit_code == 0
    keys = [asked.body["idempotency_key"] for asked in api.asked]
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert keys[0].startswith("cli:")


def test_a_start_whose_run_ended_before_its_answer_came_gives_that_run() -> None:
    ended = refusal(409, "idempotency_key_conflict", "It has ended.", {"run_id": "run_1", "status": "completed"})
    with console(HANGS_UP, ended, Says(body=RUN | {"status": "completed"})) as api:
        done = api.mobius("runs", "start", "push-lead")

    assert done.exit_code == 0
    assert [asked.path.rpartition("/")[2] for asked in api.asked] == ["runs", "runs", "run_1"]
    assert "completed" in done.stdout


def test_a_key_of_the_caller_s_own_whose_run_has_ended_is_refused() -> None:
    ended = refusal(409, "idempotency_key_conflict", "The run run_1 has ended.", {"run_id": "run_1"})
    with console(ended) as api:
        done = api.mobius("runs", "start", "push-lead", "--idempotency-key", "lead:1")

    assert (done.exit_code, len(api.asked)) == (1, 1)
    assert "The run run_1 has ended." in done.stderr


def test_a_start_that_may_have_arrived_says_how_to_ask_for_the_same_run() -> None:
    with console(HANGS_UP) as api:
        done = api.mobius("runs", "start", "push-lead")

    key = api.asked[0].body["idempotency_key"]
    assert done.exit_code == 1
    assert f"Whether the run was started is not known. Ask again with --idempotency-key {key}" in done.stderr


@pytest.mark.parametrize("answer", [HANGS_UP, BUSY])
def test_other_writes_are_never_repeated(answer: Says) -> None:
    with console(answer) as api:
        done = api.mobius("runs", "cancel", "run_1")

    assert (done.exit_code, len(api.asked)) == (1, 1)
    assert ("Whether the console has done it is not known" in done.stderr) == (answer is HANGS_UP)


def test_a_web_page_instead_of_an_answer_is_called_one() -> None:
    proxy = Says(status=403, body=b"<html><title>Corporate proxy</title>", headers={"Content-Type": "text/html"})
    with console(proxy) as api:
        done = api.mobius("runs", "list")

    assert done.exit_code == 1
    assert f"{api.url} answered 403 with a web page titled “Corporate proxy”" in done.stderr
    assert "HTTPS_PROXY" in done.stderr


def test_a_page_that_calls_itself_a_success_is_no_answer_either() -> None:
    with console(Says(body=b"<html>Welcome", headers={"Content-Type": "text/html"})) as api:
        done = api.mobius("runs", "list", "--json")

    assert (done.exit_code, done.stdout) == (1, "")
    assert "answered 200 with a web page" in done.stderr


def test_a_key_is_never_sent_on_to_another_address() -> None:
    with console(page()) as other, console(Says(status=307, headers={"Location": other.url})) as api:
        done = api.mobius("runs", "list")

    assert (done.exit_code, other.asked) == (1, [])
    assert f"sends us on to {other.url} (307)" in done.stderr
    assert "Set MOBIUS_API_URL" in done.stderr


def test_where_nothing_listens_it_asks_whether_the_console_runs() -> None:
    with console(page()) as gone:
        pass
    done = gone.mobius("runs", "list")

    assert done.exit_code == 1
    assert done.stderr.startswith(f"Error: Nothing answers at {gone.url}: is the console running there?")
    assert "MOBIUS_API_URL" in done.stderr


def test_what_breaks_the_terminal_is_taken_out_of_messages() -> None:
    with console(refusal(409, "conflict", "The loop \x1b[2J is paused.")) as api:
        done = api.mobius("runs", "start", "x")

    assert "The loop \\x1b[2J is paused." in done.stderr


@pytest.mark.parametrize(
    ("error", "says", "sent"),
    [
        (socket.gaierror(-2, "Name or service not known"), "is not known, or this machine is offline", False),
        (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), "is its address http:// and not https://?", False),
        (TimeoutError("timed out"), "did not answer within 30 seconds", True),
        (ConnectionResetError(104, "Connection reset by peer"), "failed: Connection reset by peer.", True),
    ],
)
def test_every_way_not_to_be_reached_has_its_sentence(error: OSError, says: str, sent: bool) -> None:
    place = find_place(url="https://console.example", key=KEY, project=None)
    trouble = troubles.Unreachable(client_module._cause(urllib.error.URLError(error)), place, seconds=30)

    assert says in trouble.format_message()
    assert trouble.sent is sent


def test_a_certificate_that_is_not_trusted_says_where_to_name_another_authority() -> None:
    error = ssl.SSLCertVerificationError()
    error.verify_message = "self-signed certificate"
    trouble = troubles.Unreachable(error, find_place(url="https://a.example", key=KEY, project=None), seconds=30)

    assert "is not trusted: self-signed certificate." in trouble.format_message()
    assert "SSL_CERT_FILE" in trouble.format_message()


def test_a_limit_beyond_a_page_takes_as_many_pages_as_it_needs() -> None:
    first = page(*[RUN | {"id": f"run_{number}"} for number in range(100)], cursor="abc")
    with console(first, page(RUN, cursor="def")) as api:
        done = api.mobius("runs", "list", "--limit", "101")

    assert [asked.path.partition("?")[2] for asked in api.asked] == ["limit=100", "cursor=abc&limit=1"]
    assert len(done.stdout.splitlines()) == 102
    assert done.stderr == "There are more: add --cursor def, or a larger --limit.\n"


def test_what_stays_on_this_machine_goes_past_every_proxy() -> None:
    with console(page()) as proxy, console(page()) as api:
        done = api.mobius("runs", "list", http_proxy=proxy.url, HTTP_PROXY=proxy.url)

    assert (done.exit_code, proxy.asked, len(api.asked)) == (0, [], 1)


@pytest.mark.parametrize("body", [{"message": "hello"}, [], {"items": [{"id": 1}], "has_more": False}])
def test_json_of_another_service_is_not_understood_and_said_so(body: object) -> None:
    with console(Says(body=body)) as api:
        done = api.mobius("loops", "list")

    assert (done.exit_code, done.stdout) == (1, "")
    assert "does not understand" in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "runs list --loop x",
        "runs events run_1",
        "runs start x --watch",
        "runs watch run_1",
        "integrations get clay",
        "integrations usage intg_1",
    ],
)
@pytest.mark.parametrize("body", [{"items": [7]}, [], b"[" * 100_000])
def test_no_command_ends_in_a_traceback_over_the_json_of_another_service(command: str, body: object) -> None:
    stream = {"Content-Type": "text/event-stream"} if "watch" in command and "start" not in command else {}
    data = b"data: nonsense\n\n" if stream else body
    with console(Says(body=data, headers=stream)) as api:
        done = api.mobius(*command.split())

    assert done.exit_code == 1
    assert "does not understand" in done.stderr


def test_a_later_page_that_is_no_page_is_not_understood_and_said_so() -> None:
    with console(page(*[RUN] * 100, cursor="abc"), Says(body={"message": "hello"})) as api:
        done = api.mobius("runs", "list", "--limit", "101")

    assert (done.exit_code, "does not understand" in done.stderr) == (1, True)
