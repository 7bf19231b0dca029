"""The stage of a benchmark: what it reads from the simulator's log, and what its console does not inherit."""

from __future__ import annotations

from pathlib import Path

import pytest

from mobius.bench.stage import Arrivals, Stage


def test_arrivals_are_read_on_from_where_the_last_reading_ended(tmp_path: Path) -> None:
    arrivals = Arrivals(tmp_path / "rows.jsonl")
    arrivals.read()
    with arrivals.log.open("w") as log:
        log.write('{"at": 1.5, "source": "demo", "row": {"request_id": "a-1"}}\n{"at": 2.5, "sou')
    arrivals.read()
    assert arrivals.at == {"a-1": 1.5}

    with arrivals.log.open("a") as log:
        log.write('rce": "demo", "row": {"request_id": "a-2"}}\n')
    arrivals.read()

    assert arrivals.at == {"a-1": 1.5, "a-2": 2.5}
    assert arrivals.duplicates == 0


def test_a_row_that_came_twice_counts_from_its_first_arrival(tmp_path: Path) -> None:
    arrivals = Arrivals(tmp_path / "rows.jsonl")
    arrivals.log.write_text(
        "".join(f'{{"at": {at}, "source": "demo", "row": {{"request_id": "a-1"}}}}\n' for at in (1, 2))
    )

    arrivals.read()

    assert arrivals.at == {"a-1": 1}
    assert arrivals.duplicates == 1


def test_the_console_gets_nothing_of_the_developers_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://production/db")
    monkeypatch.setenv("FIELD_ENCRYPTION_KEY", "precious")
    monkeypatch.setenv("MOBIUS_ENGINE", "procrastinate")
    monkeypatch.setenv("MOBIUS_WORKERS", "4")
    stage = Stage()
    stage.folder = tmp_path

    environment = stage._environment()

    assert environment["DATABASE_URL"] == f"sqlite:///{tmp_path}/data/mobius.sqlite3"
    assert environment["MOBIUS_DATA_DIR"] == str(tmp_path / "data")
    assert environment["MOBIUS_ENGINE"] == "embedded"
    assert environment["MOBIUS_WORKERS"] == "4"
    assert environment["MOBIUS_OUTBOUND_ALLOW"] == f"127.0.0.1/32:{stage.simulator_port}"
    assert "FIELD_ENCRYPTION_KEY" not in environment
