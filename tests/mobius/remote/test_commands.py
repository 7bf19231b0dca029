"""What commands are given, what they send, and what they print."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.mobius.remote.scripted import KEY, RUN, Says, console, page

LOOP = {"id": "loop_1", "name": "push-lead", "status": "active", "created_at": "2026-11-28T09:30:05Z"}
LOOP |= {"updated_at": "2026-11-28T09:30:05Z", "steps": [{"kind": "sleep", "config": {"duration": "5m"}}]}
INTEGRATION = {
    "id": "intg_1",
    "name": "clay",
    "provider": "clay",
    "status": "active",
    "config": {"webhook_url": "https://api.clay.com/…c123"},
    "updated_at": "2026-11-28T09:30:05Z",
}
CONNECTED = Says(body={"kind": "complete", "integration": INTEGRATION})
PASTED = "curl 'https://api.clay.com/v3/sources/webhook/abc' \\\n -H 'x-clay-webhook-auth: t0ken'"


@pytest.mark.parametrize(
    ("options", "event"),
    [
        (["--set", "email=ada@example.com", "--set", "query=a=b"], {"email": "ada@example.com", "query": "a=b"}),
        (["--event", '{"score": 9}', "--set", "email=a"], {"score": 9, "email": "a"}),
        (["--event", "@FILE"], {"from": "file"}),
        (["--event-file", "FILE"], {"from": "file"}),
        (["--event", "@-"], {"from": "stdin"}),
        (["--event-file", "-"], {"from": "stdin"}),
        ([], {}),
    ],
)
def test_an_event_comes_from_wherever_it_is_handy(tmp_path: Path, options: list[str], event: dict[str, Any]) -> None:
    file = tmp_path / "event.json"
    file.write_text('{"from": "file"}')
    given = [option.replace("FILE", str(file)) for option in options]
    with console(Says(status=202, body=RUN)) as api:
        done = api.mobius("runs", "start", "push lead/ä", *given, input='{"from": "stdin"}')

    assert done.exit_code == 0
    assert api.asked[0].body["event"] == event
    assert api.asked[0].path == "/v1/projects/default/loops/push%20lead%2F%C3%A4/runs"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("runs start x --event nonsense", "--event is not JSON: line 1, column 1"),
        ("runs start x --event [1]", "--event must be a JSON object"),
        ("runs start x --event-file /no/such", "Cannot read the event from /no/such: No such file"),
        ("runs start x --event {} --event-file f", "Give --event or --event-file, not both."),
        ("runs start x --set email", "--set takes NAME=VALUE"),
        ("runs signal run_1", "Name the step"),
        ("runs list --status done", "Invalid value for '--status'"),
        ("loops create", "Say what the loop is to be"),
        ("loops create -", "The loop in standard input is not JSON"),
        ("loops create --name x --steps {}", "--steps must be a JSON array"),
        ("loops delete x", "Delete the loop “x”? Nobody can be asked here: add --yes."),
        ("integrations connect clay", "Give the webhook URL as an argument, or --curl -"),
        ("integrations connect clay https://a --curl -", "not both"),
        ("integrations connect clay https://a --auth-header-value-stdin", "Name the header, too"),
        ("integrations connect clay - --auth-header-name x --auth-header-value-stdin", "one thing only"),
        ("integrations connect clay https://a --auth-header-name x", "--auth-header-value-stdin"),
        ("integrations connect clay --curl -", "This is not a curl command"),
        ("api projects", "PATH begins with /v1/"),
        ("api -X GET /v1/projects --input f", "A GET carries no --input"),
        (f"runs start x --event {'[' * 100_000}", "--event is nested too deeply"),
    ],
)
def test_a_mistake_on_the_command_line_ends_with_2_and_sends_nothing(command: str, says: str) -> None:
    with console(page()) as api:
        done = api.mobius(*command.split())

    assert (done.exit_code, api.asked) == (2, [])
    assert says in done.stderr


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["-"], "the webhook URL"),
        (["--curl", "-"], "the curl command"),
        (["https://a", "--auth-header-name", "x", "--auth-header-value-stdin"], "the value of x"),
    ],
)
def test_a_connection_that_is_no_text_is_refused(options: list[str], what: str) -> None:
    with console(page()) as api:
        done = api.mobius("integrations", "connect", "clay", *options, input=b"\xff\xfe")

    assert (done.exit_code, api.asked) == (2, [])
    assert f"Cannot read {what} from standard input: it is not UTF-8 text." in done.stderr


def test_a_name_that_would_move_the_cursor_is_told_without_that() -> None:
    found = page(INTEGRATION | {"name": "\x1b[2Jclay"})
    with console(found, found, Says(status=204, body=b"")) as api:
        asked = api.mobius("integrations", "disconnect", "\x1b[2Jclay")
        done = api.mobius("integrations", "disconnect", "\x1b[2Jclay", "--yes")

    assert "Disconnect “\\x1b[2Jclay”" in asked.stderr
    assert "“\\x1b[2Jclay” is disconnected." in done.stderr


def test_a_reader_that_has_seen_enough_ends_the_command_without_a_word() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with console(page(*[RUN] * 20)) as api, os.fdopen(writing, "wb") as to:
        place = {"MOBIUS_API_URL": api.url, "MOBIUS_API_KEY": KEY}
        command = [sys.executable, "-m", "mobius.cli", "runs", "list"]
        done = subprocess.run(
            command, env=os.environ | place, stdout=to, stderr=subprocess.PIPE, timeout=30, check=False
        )

    assert (done.returncode, done.stderr) == (1, b"")


def test_a_loop_is_made_from_a_file_and_options_win(tmp_path: Path) -> None:
    file = tmp_path / "loop.json"
    file.write_text(json.dumps({"name": "old", "steps": []}))
    with console(Says(status=201, body=LOOP)) as api:
        done = api.mobius("loops", "create", "-f", str(file), "--name", "push-lead", "--steps", "[1]")

    assert api.asked[0].body == {"name": "push-lead", "steps": [1]}
    assert "steps    0: sleep 5m" in done.stdout


def test_a_loop_is_paused_by_its_name() -> None:
    with console(Says(body=LOOP)) as api:
        api.mobius("loop", "update", "push-lead", "--status", "paused")

    asked = api.asked[0]
    assert (asked.method, asked.path, asked.body) == (
        "PATCH",
        "/v1/projects/default/loops/push-lead",
        {"status": "paused"},
    )


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (["--curl", "-"], PASTED),
        (["-"], PASTED),
        (["https://api.clay.com/v3/sources/webhook/abc", *"--auth-header-name x-clay-webhook-auth".split()], "t0ken\n"),
    ],
)
def test_a_connection_takes_its_secret_from_standard_input(arguments: list[str], given: str) -> None:
    here = ["--auth-header-value-stdin"] if "--auth-header-name" in arguments else []
    with console(CONNECTED, Says(body=INTEGRATION)) as api:
        done = api.mobius("integrations", "connect", "clay", *arguments, *here, "--workspace", "eu", input=given)

    assert done.exit_code == 0, done.stderr
    assert api.asked[0].body == {
        "webhook_url": "https://api.clay.com/v3/sources/webhook/abc",
        "auth_header_name": "x-clay-webhook-auth",
        "auth_header_value": "t0ken",
        "workspace": "eu",
    }
    assert "t0ken" not in done.output


def test_a_test_says_its_price_first_and_its_finding_afterwards() -> None:
    found = {"ok": False, "delivery_id": "att_1", "state": "refused", "status_code": 401, "stages": ["sent"]}
    found |= {"cause": "The token is wrong.", "fix": "Paste it again.", "latency_ms": 1200}
    with console(page(INTEGRATION), Says(body=found)) as api:
        done = api.mobius("integrations", "test", "clay")

    assert done.exit_code == 1
    assert "uses one of the webhook's submissions for good" in done.stderr
    assert "meaning     The token is wrong.\nwhat to do  Paste it again.\n" in done.stdout
    assert api.asked[1].path == "/v1/projects/default/integrations/intg_1/test"


@pytest.mark.parametrize(
    ("items", "says"),
    [
        ([INTEGRATION], "No integration of “default” is named “leads”. There are: clay."),
        ([], "None is connected: mobius integrations connect leads"),
        ([INTEGRATION | {"name": "leads"}] * 2, "Several are named “leads”: use an id, intg_1, intg_1."),
    ],
)
def test_a_name_that_names_nothing_says_what_there_is(items: list[Any], says: str) -> None:
    with console(page(*items)) as api:
        done = api.mobius("integrations", "get", "leads")

    assert (done.exit_code, says in done.stderr) == (1, True)


def test_colour_is_for_terminals_that_want_it() -> None:
    with console(page(RUN | {"status": "failed"})) as api:
        done = api.mobius("runs", "list", NO_COLOR="1")

    assert "\x1b" not in done.stdout
    assert "failed" in done.stdout


def test_the_help_tells_apart_what_runs_here_and_what_runs_anywhere() -> None:
    with console(page()) as api:
        text = api.mobius("--help").stdout

    here, _, anywhere = text.partition("Over the API, from anywhere")
    assert "  serve " in here
    assert all(f"  {name} " in anywhere for name in "loops runs integrations deliveries keys projects api".split())


def test_mobius_s_own_names_of_commands_are_known() -> None:
    with console(page()) as api:
        for command in ("api-keys list", "runs list-steps run_1", "integrations list", "run list", "loop list"):
            assert api.mobius(*command.split()).exit_code == 0, command
