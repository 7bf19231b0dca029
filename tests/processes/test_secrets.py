"""Secrets in the real product: nowhere in the clear, rotated while rows go out, gone when their integration goes."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from mobius.bench.stage import MOBIUS, PROJECT, ROOT, StageBroken, ask
from tests.processes.conftest import Console, wait_until

pytestmark = pytest.mark.processes

URL_PATH = "planted-url-path"
VALUE = "Bearer planted-header-value"
ASK = {
    "name": "ask",
    "steps": [
        {
            "id": "push",
            "kind": "action",
            "config": {
                "action_name": "clay.webhook.submit",
                "parameters": {
                    "payload": {"email": "ada@example.com"},
                    "request_id": "${{ meta.run_id }}",
                    "callback_url": "${{ callback.url }}",
                },
            },
        },
        {"id": "answer", "kind": "wait_for_event", "config": {"event_type": "clay.callback"}},
    ],
}


class Watched(Console):
    """A console that logs at DEBUG, connected with an address and a header that are easy to find again."""

    @property
    def webhook_url(self) -> str:
        return f"http://127.0.0.1:{self.simulator_port}/v3/sources/webhook/{URL_PATH}"

    def _environment(self) -> dict[str, str]:
        return super()._environment() | {"MOBIUS_LOG_LEVEL": "DEBUG"}

    def connect(self, **fields: Any) -> Any:
        return super().connect(auth_header_name="x-auth", auth_header_value=VALUE, **fields)

    def files(self) -> dict[str, bytes]:
        """Everything in the data directory but the keys and the static files, and what the console has printed."""
        data = self.folder / "data"
        kept = [path for path in data.rglob("*") if path.is_file() and "static" not in path.parts]
        kept = [path for path in kept if path.name not in ("secret_key", "field_encryption_key")]
        return {path.name: path.read_bytes() for path in [*kept, self.folder / "serve.log"]}


@pytest.fixture
def watched() -> Iterator[Watched]:
    with Watched("--callbacks", "--callback-delay", "0.1") as stage:
        stage.prepare()
        yield stage


def processes_of(pid: int) -> Iterator[tuple[str, bytes]]:
    """What every user of the machine's process list, or an administrator, sees of the console and its children."""
    found = [pid]
    for one in found:
        for tasks in Path(f"/proc/{one}/task").iterdir():
            found += [int(child) for child in (tasks / "children").read_text().split()]
    for one in found:
        for name in ("cmdline", "environ"):
            yield f"{one}/{name}", Path(f"/proc/{one}/{name}").read_bytes()


def test_no_planted_secret_stands_anywhere_in_the_clear(watched: Watched) -> None:
    """Rows go out and come back, with every kind of trouble beside them; then everything is searched."""
    loop = watched.call("POST", f"{watched.root}/loops", ASK)
    watched.call("POST", f"{watched.root}/loops/{loop['id']}/runs", {})
    wait_until(lambda: "completed" in watched.runs().values())
    address = json.loads(watched.arrivals.log.read_text().splitlines()[0])["row"]["callback_url"]
    token = address.rpartition("/")[2]
    planted = [URL_PATH, "planted-header-value", token, watched.key]

    said = _trouble(watched, token)
    said |= _answers_for_a_viewer(watched)
    for command in (["check"], ["secrets", "rotate"], ["purge"], ["--help"]):
        said[" ".join(command)] = watched.mobius(*command).encode()
    said["dumpdata"] = _dump(watched)
    said |= dict(processes_of(watched.console.pid)) if sys.platform == "linux" else {}
    said |= {f"running: {name}": content for name, content in watched.files().items()}
    watched.stop_console()
    said |= {f"stopped: {name}": content for name, content in watched.files().items()}

    database = [content for name, content in said.items() if name.startswith("stopped: mobius.sqlite3")]
    assert any(b"ada@example.com" in content for content in database), "the search itself works"
    assert b"DEBUG" in said["stopped: serve.log"], "it did log at DEBUG"
    assert any(name.endswith("-wal") for name in said), "the journal was searched, too"
    spilt = [(name, text) for name, content in said.items() for text in planted if text.encode() in content]
    assert spilt == []


def _trouble(watched: Watched, token: str) -> dict[str, bytes]:
    """Requests that fail, each with secrets in it."""
    key = {"Authorization": f"Bearer {watched.key}", "Content-Type": "application/json"}
    body = json.dumps({"webhook_url": watched.webhook_url + "\u0000", "auth_header_value": VALUE}).encode()
    connect = f"{watched.root}/integrations/providers/clay/connect"
    tries: list[tuple[str, str, bytes | None, dict[str, str]]] = [
        ("GET", f"/v1/callbacks/{token}", None, {}),
        ("POST", f"/v1/callbacks/{token}/more", b"{}", {}),
        ("POST", f"/v1/callbacks/{token}", b"{", {"Content-Type": "application/json"}),
        ("POST", f"/v1/callbacks/{token}", b"x" * 300_000, {"Content-Type": "application/json"}),
        ("GET", f"/nowhere?next=/v1/callbacks/{token}", None, key),
        ("GET", "/admin/nowhere", None, key),
        ("GET", "/v1/nowhere", None, key),
        ("POST", connect, body, key),
        ("POST", connect, json.dumps({"auth_header_value": VALUE}).encode(), key),
        ("POST", connect, b'{"webhook_url": "' + watched.webhook_url.encode(), key),
        ("POST", "/login/", b"username=a&password=" + watched.key.encode(), {}),
    ]
    said = {}
    for number, (method, path, sent, headers) in enumerate(tries):
        status, answer = ask(watched.port, method, path, sent, headers)
        assert 300 <= status < 500, (number, status)
        said[f"try {number}"] = answer
    return said


def _answers_for_a_viewer(watched: Watched) -> dict[str, bytes]:
    viewer = watched.mobius("key", "create", "--project", PROJECT, "--name", "viewer", "--role", "viewer")
    headers = {"Authorization": f"Bearer {viewer}"}
    said = {}
    for what in ("integrations", "deliveries", "runs", "loops", "api-keys", "audit", "principals", "callbacks/overdue"):
        status, said[what] = ask(watched.port, "GET", f"{watched.root}/{what}", None, headers)
        if status != 200:
            continue
        for item in json.loads(said[what]).get("items", []):
            one = f"{what}/{item['id']}" if "id" in item else what
            said[one] = ask(watched.port, "GET", f"{watched.root}/{one}", None, headers)[1]
    run = json.loads(said["runs"])["items"][0]["id"]
    for part in ("steps", "events"):
        said[part] = ask(watched.port, "GET", f"{watched.root}/runs/{run}/{part}", None, headers)[1]
    return said


def _dump(watched: Watched) -> bytes:
    """Django's own export. It must refuse, and without a secret in its refusal."""
    done = subprocess.run(
        [sys.executable, "manage.py", "dumpdata", "--traceback"],
        cwd=ROOT,
        env=watched._environment(),
        capture_output=True,
        check=False,
    )
    assert b"secrets are not serialised" in done.stderr
    return done.stdout + done.stderr


def test_what_is_deleted_or_replaced_leaves_not_even_its_ciphertext_in_the_files(watched: Watched) -> None:
    webhook = watched.call("POST", f"{watched.root}/webhooks", {"name": "crm", "url": "https://crm.example.com/hook"})
    hooked = ASK | {"name": "hooked", "triggers": [{"kind": "http", "key": "form"}]}
    loop = watched.call("POST", f"{watched.root}/loops", hooked)
    signature = f"{watched.root}/loops/{loop['id']}/triggers/form/secret"
    watched.call("POST", signature)
    first = _sealed(watched)
    assert len(first) == 5, "an address and a header, an address and its secret, a trigger's secret"

    # Replaced: each of them once.
    watched.connect()
    watched.call("PATCH", f"{watched.root}/webhooks/{webhook['id']}", {"url": "https://crm.example.com/another"})
    for _ in range(2):  # the former one signs beside the new one, and the one before that no more
        watched.call("POST", f"{watched.root}/webhooks/{webhook['id']}/secret/rotate")
    watched.call("POST", signature)
    _assert_gone(watched, first)

    # Deleted: all of it.
    second = _sealed(watched)
    assert len(second) == 6
    assert not second & first
    (integration,) = watched.call("GET", f"{watched.root}/integrations")["items"]
    watched.call("DELETE", f"{watched.root}/integrations/{integration['id']}")
    watched.call("DELETE", f"{watched.root}/webhooks/{webhook['id']}")
    watched.call("DELETE", f"{watched.root}/loops/{loop['id']}")
    assert _sealed(watched) == set()
    _assert_gone(watched, second)


_SEALED = """
    SELECT url FROM integrations_webhooksecret UNION SELECT auth_header_value FROM integrations_webhooksecret
    UNION SELECT url FROM notifying_endpoint UNION SELECT secret FROM notifying_signingsecret
    UNION SELECT secret FROM loops_triggersecret
"""


def _sealed(console: Watched) -> set[str]:
    """Every ciphertext in the database; each can be found in its files."""
    with closing(sqlite3.connect(console.folder / "data" / "mobius.sqlite3")) as database:
        sealed = {text for (text,) in database.execute(_SEALED)}
    files = console.files()
    assert all(any(text.encode() in content for content in files.values()) for text in sealed)
    return sealed


def _assert_gone(console: Watched, sealed: set[str]) -> None:
    spilt = [name for name, content in console.files().items() if any(text.encode() in content for text in sealed)]
    assert spilt == []


# --- rotation ---


def use_keys(console: Console, *keys: str) -> None:
    """As somebody who edits the file in the data directory."""
    (console.folder / "data" / "field_encryption_key").write_text(",".join(keys) + "\n")


@pytest.fixture
def old(console: Console) -> str:
    return (console.folder / "data" / "field_encryption_key").read_text().strip()


NEW = Fernet.generate_key().decode()


@pytest.mark.parametrize("console", [["--slow", "0.1"]], indirect=True)
def test_the_key_is_rotated_while_rows_go_out_and_not_one_is_lost_or_sent_twice(console: Console, old: str) -> None:
    console.stop_console()
    use_keys(console, NEW, old)
    console.start_console()
    started = [console.start(number) for number in range(60)]
    said = console.mobius("secrets", "rotate")
    started += [console.start(number) for number in range(60, 80)]
    again = console.mobius("secrets", "rotate")
    wait_until(lambda: all(status == "completed" for status in console.runs().values()))

    assert "1 secrets are under the first key now; 0 were before" in said
    assert "0 secrets are under the first key now; 1 were before" in again
    assert "take the others out of FIELD_ENCRYPTION_KEY" in again
    console.stop_console()
    use_keys(console, NEW)
    console.start_console()
    started.append(console.start(80))
    wait_until(lambda: all(status == "completed" for status in console.runs().values()))
    assert console.rows() == dict.fromkeys(started, 1)


def test_a_console_that_was_not_restarted_before_a_rotation_sends_nothing_and_loses_nothing(
    console: Console, old: str
) -> None:
    use_keys(console, NEW, old)
    console.mobius("secrets", "rotate")

    run = console.start(1)
    wait_until(lambda: console.runs()[run] == "suspended")
    assert console.rows() == {}
    with pytest.raises(StageBroken, match="start this process with the new key"):
        console.connect()
    assert [one["status"] for one in console.call("GET", f"{console.root}/integrations")["items"]] == ["active"]

    console.stop_console()
    console.start_console()
    wait_until(lambda: console.runs()[run] == "completed", seconds=60)
    assert console.rows() == {run: 1}


def test_a_lost_key_is_given_up_by_command_and_the_console_starts_again(console: Console, old: str) -> None:
    console.stop_console()
    use_keys(console, NEW)
    with pytest.raises(StageBroken, match="--forget-unreadable"):
        console.start_console()

    assert "bench/clay: its secret was erased" in console.mobius("secrets", "rotate", "--forget-unreadable")

    console.start_console()
    assert [one["status"] for one in console.call("GET", f"{console.root}/integrations")["items"]] == ["expired"]
    console.connect()
    run = console.start(1)
    wait_until(lambda: console.runs()[run] == "completed")


def test_a_new_key_is_printed_alone() -> None:
    done = subprocess.run(
        [*MOBIUS, "secrets", "new-key"], cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=True
    )

    Fernet(done.stdout.strip())
    assert done.stderr == ""
