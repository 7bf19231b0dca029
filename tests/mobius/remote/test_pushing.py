"""`mobius clay push` where the console, the file or the place for the failures is not as it should be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mobius.remote import pushing
from mobius.remote.client import Client
from mobius.remote.commands import Api
from mobius.remote.place import find_place
from mobius.remote.troubles import Trouble, Unreachable
from tests.mobius.remote.scripted import KEY, Says, console


@pytest.mark.parametrize(
    ("failed", "says"),
    [
        ("leads.csv", "would overwrite the file"),
        ("missing/x.csv", "there is no such folder"),
        ("x" * 300, "cannot be written: File name too long"),
    ],
)
def test_a_place_where_failures_cannot_be_saved_is_refused_before_anything_is_sent(
    tmp_path: Path, failed: str, says: str
) -> None:
    file = tmp_path / "leads.csv"
    file.write_text("email\nada@example.com\n")
    with console(Says()) as api:
        done = api.mobius("clay", "push", str(file), "--failed", str(tmp_path / failed))

    assert done.exit_code == 2
    assert says in done.stderr
    assert api.asked == []
    assert file.read_text() == "email\nada@example.com\n"


def test_what_cannot_be_sent_has_no_price(tmp_path: Path) -> None:
    file = tmp_path / "leads.csv"
    file.write_text("email\nada@example.com\n")
    forecast = {"rows": 0, "over_budget": 0, "usage": {"left": 10}, "rate_per_second": 9.9, "seconds": 0.0}
    checked = {"rows": 1, "read_as": "CSV", "request_id": ["email"], "check": {"ready": 0, "reasons": {}}}
    with console(Says(body={"id": "push_1"}), Says(body=checked | {"forecast": forecast})) as api:
        done = api.mobius("clay", "push", str(file), "--request-id", "email")

    assert done.exit_code == 1
    assert done.stderr == "1 rows, read as CSV.\n0 can be sent.\n"


def test_what_comes_through_a_pipe_is_uploaded_whole() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as to:
        to.write(b"email\nada@example.com\n")
    with console(Says(body={"id": "push_1"})) as api, os.fdopen(reading, "rb") as file:
        client = Client(find_place(url=api.url, key=KEY, project="platform"))
        client.upload("/v1/projects/platform/pushes", {}, file, seconds=10)

    assert api.asked[0].body == b"email\nada@example.com\n"


def test_a_console_that_restarts_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushing, "_LOOKS_EVERY_SECONDS", 0.0)
    answers = iter([ConnectionRefusedError(), None])

    class Restarting:
        def at(self, *parts: str) -> str:
            return "/".join(parts)

        def get(self, path: str) -> str:
            error = next(answers)
            if error is not None:
                raise Unreachable(error, find_place(url="http://127.0.0.1:9", key=KEY, project="p"), seconds=1)
            return f"answer of {path}"

    assert next(pushing._answers(Restarting(), "push_1")) == "answer of pushes/push_1"  # type: ignore[arg-type]


def test_a_full_disk_is_not_taken_for_a_broken_connection() -> None:
    with console(Says(body=b"email\n")) as api:
        reached = Api(Client(find_place(url=api.url, key=KEY, project="platform")), as_json=False)
        with pytest.raises(Trouble, match="/dev/full could not be written: No space left on device"):
            pushing._save(reached, "push_1", Path("/dev/full"))


def test_what_did_not_arrive_is_saved_whole_or_said_to_be_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "failed.csv"
    with console(Says(body=b"email\n"), Says(body=b"email\n", cut_off=True)) as api:
        reached = Api(Client(find_place(url=api.url, key=KEY, project="platform")), as_json=False)
        pushing._save(reached, "push_1", file)
        assert file.read_bytes() == b"email\n"
        with pytest.raises(Unreachable, match="broke off"):
            pushing._save(reached, "push_1", file)
