"""`mobius` over the API, as a stranger uses it: the real command against the real console, and its words read aloud."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mobius.bench.stage import MOBIUS, PROJECT, ROOT
from tests.processes.conftest import Console

pytestmark = pytest.mark.processes

STEPS = [{"id": one, "kind": "wait_for_event", "config": {"event_type": "approval"}} for one in ("first", "second")]


class Stranger:
    """Somebody on another machine: knows an address and a key, and has neither settings nor a data directory."""

    def __init__(self, console: Console, home: Path) -> None:
        self.home = home
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("MOBIUS_")}
        for name in ("SECRET_KEY", "FIELD_ENCRYPTION_KEY", "DATABASE_URL"):
            self.environment.pop(name, None)
        self.environment |= {
            "MOBIUS_API_URL": f"http://127.0.0.1:{console.port}",
            "MOBIUS_API_KEY": console.key,
            "MOBIUS_PROJECT": PROJECT,
            "MOBIUS_DATA_DIR": str(home / "data"),
            "PYTHONPATH": str(ROOT),
        }

    def runs(self, *arguments: str, input: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*MOBIUS, *arguments],
            cwd=self.home,
            env=self.environment | environment,
            input=input,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def begins(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*MOBIUS, *arguments],
            cwd=self.home,
            env=self.environment | {"PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Whoever runs the tests in the background has them, and what they start, ignore Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    @staticmethod
    def ends(process: subprocess.Popen[str]) -> tuple[str, str]:
        """What else it prints until it ends. Not `communicate`, which forgets what a `readline` has taken in."""
        with process:
            assert process.stdout is not None
            assert process.stderr is not None
            return process.stdout.read(), process.stderr.read()

    def types(self, lines: list[tuple[str, str]], *arguments: str) -> tuple[int, str]:
        """Sits at a terminal, and answers each question. The exit code, and everything that stood on the screen."""
        ours, theirs = pty.openpty()
        with closing(os.fdopen(ours, "r+b", buffering=0)) as screen:
            process = subprocess.Popen(
                [*MOBIUS, *arguments],
                cwd=self.home,
                env=self.environment,
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
            )
            os.close(theirs)
            seen = ""
            for question, answer in lines:
                while question not in seen:
                    seen += screen.read(1000).decode()
                screen.write(f"{answer}\n".encode())
            try:
                while more := screen.read(1000):
                    seen += more.decode()
            except OSError:  # the other end is closed
                pass
            return process.wait(30), seen


@pytest.fixture(scope="module")
def console() -> Iterator[Console]:
    """Shared: each test uses names of its own, and leaves the console running and Clay connected."""
    with Console() as stage:
        stage.prepare()
        yield stage


@pytest.fixture
def stranger(console: Console, tmp_path: Path) -> Stranger:
    return Stranger(console, tmp_path)


def address(console: Console, table: str) -> str:
    """Another table's webhook at the simulator."""
    return console.webhook_url.replace("demo", table)


@pytest.fixture
def waiting(console: Console) -> str:
    name = f"waiting-{uuid.uuid4()}"
    console.call("POST", f"{console.root}/loops", {"name": name, "steps": STEPS})
    return str(console.call("POST", f"{console.root}/loops/{name}/runs", {})["id"])


def test_a_loop_is_made_started_watched_and_its_delivery_found(console: Console, stranger: Stranger) -> None:
    spec = {
        "steps": [
            {
                "id": "push",
                "kind": "action",
                "config": {
                    "action_name": "clay.webhook.submit",
                    "parameters": {"payload": {"email": "${{ event.email }}"}, "request_id": "${{ meta.run_id }}"},
                },
            }
        ]
    }
    name = f"push lead {uuid.uuid4()}"

    made = stranger.runs("loops", "create", "-", "--name", name, input=json.dumps(spec))
    watched = stranger.runs("runs", "start", name, "--set", "email=ada@example.com", "--watch")
    run = watched.stdout.split()[1]
    shown = json.loads(stranger.runs("runs", "get", run, "--json").stdout)
    delivered = stranger.runs("deliveries", "list", "--run", run)
    deleted = stranger.runs("loops", "delete", name, "--yes")

    assert (made.returncode, f"name     {name}" in made.stdout) == (0, True)
    assert watched.returncode == 0, watched.stderr
    assert watched.stdout.rstrip().endswith(f"run {run} completed")
    assert "action.called     push          clay.webhook.submit" in watched.stdout
    assert (shown["status"], shown["event"]) == ("completed", {"email": "ada@example.com"})
    assert (delivered.returncode, "accepted" in delivered.stdout) == (0, True)
    assert console.rows()[run] == 1
    assert deleted.stderr == f"The loop “{name}” is deleted.\n"
    assert not (stranger.home / "data").exists(), "nothing of a server is made where there is none"


def test_a_watch_outlives_a_restart_without_losing_or_repeating_an_event(
    console: Console, stranger: Stranger, waiting: str
) -> None:
    watch = stranger.begins("runs", "watch", waiting, "--json")
    assert watch.stdout is not None
    lines = [watch.stdout.readline() for _ in range(3)]
    console.stop_console()
    time.sleep(1)
    console.start_console()
    stranger.runs("runs", "signal", waiting, "first")
    lines += [watch.stdout.readline() for _ in range(3)]
    console.kill_console()
    console.start_console()
    stranger.runs("runs", "signal", waiting, "second", "--result", '{"ok": true}')
    rest, said = stranger.ends(watch)

    events = [json.loads(line) for line in lines + rest.splitlines()]
    assert events == console.call("GET", f"{console.root}/runs/{waiting}/events?limit=100")["items"]
    assert watch.returncode == 0
    assert "Going on after event" in said
    assert "Traceback" not in said


def test_ctrl_c_leaves_the_run_alone_and_says_how_to_go_on(console: Console, stranger: Stranger, waiting: str) -> None:
    watch = stranger.begins("runs", "watch", waiting)
    assert watch.stdout is not None
    watch.stdout.readline()
    watch.send_signal(signal.SIGINT)
    _, said = stranger.ends(watch)

    assert watch.returncode == 130
    assert said.strip() == f"The run goes on. Follow it again with: mobius runs watch {waiting}"
    assert console.runs()[waiting] in ("queued", "running", "suspended")


def test_a_watched_run_that_is_cancelled_ends_with_1(stranger: Stranger, waiting: str) -> None:
    watch = stranger.begins("runs", "watch", waiting)
    assert watch.stdout is not None
    watch.stdout.readline()
    cancelled = stranger.runs("runs", "cancel", waiting, "--reason", "no longer needed")
    seen, _ = stranger.ends(watch)

    assert (cancelled.returncode, watch.returncode) == (0, 1)
    assert "run.cancelled                   no longer needed" in seen
    retried = stranger.runs("runs", "retry", waiting)
    assert retried.returncode == 1
    assert retried.stderr.startswith(
        "Error: Only a run that has failed can go on; this one is cancelled. (409 conflict)"
    )


def test_clay_is_connected_by_its_curl_command_and_tested(console: Console, stranger: Stranger) -> None:
    name = f"leads-{uuid.uuid4()}"
    command = f"curl -X POST '{address(console, name)}' \\\n  -H 'x-clay-webhook-auth: s3cret-token' -d '{{}}'"

    connected = stranger.runs("integrations", "connect", "clay", "--curl", "-", "--name", name, "--test", input=command)
    usage = json.loads(stranger.runs("integrations", "usage", name, "-o", "json").stdout)
    paused = stranger.runs("integrations", "pause", name)
    listed = stranger.runs("integrations", "list")
    gone = stranger.runs("integrations", "disconnect", name, "--yes")

    assert connected.returncode == 0, connected.stderr
    assert "Took the URL and the header x-clay-webhook-auth from the curl command." in connected.stderr
    assert "A test sends one real row" in connected.stderr
    assert "reached   address, connected, sent, answered, accepted" in connected.stdout
    assert "s3cret-token" not in connected.stdout + connected.stderr
    assert name not in connected.stdout.replace(f"name              {name}", ""), "the webhook's address is masked"
    assert usage["usage"]["used"] == 1
    assert "inactive" in paused.stdout
    assert name in listed.stdout
    assert gone.stderr == f"“{name}” is disconnected.\n"


def test_clay_is_connected_at_a_terminal_and_the_header_s_value_is_not_seen(
    console: Console, stranger: Stranger
) -> None:
    name = f"asked-{uuid.uuid4()}"
    answers = [
        ("Webhook URL, or Clay's curl command: ", address(console, name)),
        ("Value of x-clay-webhook-auth (unseen): ", "s3cret-token"),
    ]
    header = ["--auth-header-name", "x-clay-webhook-auth"]

    code, seen = stranger.types(answers, "integrations", "connect", "clay", "--name", name, *header)
    asked, screen = stranger.types([("[y/N]: ", "n")], "integrations", "disconnect", name)
    stranger.runs("integrations", "disconnect", name, "-y")

    assert (code, "auth header       x-clay-webhook-auth" in seen) == (0, True)
    assert "s3cret-token" not in seen
    assert (asked, "Nothing was changed." in screen) == (1, True)


def test_a_test_that_fails_says_what_is_wrong_and_the_one_thing_to_do(console: Console, stranger: Stranger) -> None:
    name = f"shut-{uuid.uuid4()}"
    stranger.runs("integrations", "connect", "clay", f"http://127.0.0.1:{console.simulator_port}/gone", "--name", name)

    test = stranger.runs("integrations", "test", name)
    stranger.runs("integrations", "disconnect", name, "-y")

    assert test.returncode == 1
    assert "test        failed" in test.stdout
    assert "what to do  " in test.stdout


def test_a_key_is_printed_alone_and_ends_when_it_is_revoked(stranger: Stranger) -> None:
    made = stranger.runs("keys", "create", "--name", "narrow", "--role", "viewer")
    key = made.stdout.strip()
    allowed = stranger.runs("runs", "list", MOBIUS_API_KEY=f"{key}.{PROJECT}", MOBIUS_PROJECT="")
    forbidden = stranger.runs("loops", "delete", "push", "--yes", MOBIUS_API_KEY=key)
    revoked = stranger.runs("api-keys", "delete", "narrow", "--yes")
    shut = stranger.runs("runs", "list", MOBIUS_API_KEY=key)

    assert (made.returncode, key.startswith("mbx_"), " " in key) == (0, True, False)
    assert allowed.returncode == 0, allowed.stderr
    assert (forbidden.returncode, "A key of role viewer may not do this" in forbidden.stderr) == (1, True)
    assert revoked.returncode == 0, revoked.stderr
    assert (shut.returncode, "came from MOBIUS_API_KEY" in shut.stderr, key in shut.stderr) == (1, True, False)


def test_the_rest_of_the_api_is_a_call_away(stranger: Stranger) -> None:
    capabilities = stranger.runs("api", "/v1/projects/{project}/capabilities")
    projects = stranger.runs("projects", "list")

    assert json.loads(capabilities.stdout) == {"can_manage_project": True, "can_manage_access": True}
    assert PROJECT in projects.stdout


def test_no_command_over_the_api_loads_the_server(stranger: Stranger) -> None:
    program = (
        "import sys; sys.argv = ['mobius', 'runs', 'list']; from mobius.cli import main; main(standalone_mode=False); "
        "print([name for name in ('django', 'requests', 'mobius.settings') if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=stranger.home, env=stranger.environment, capture_output=True, text=True
    )

    assert done.stdout.splitlines()[-1] == "[]", done.stderr
