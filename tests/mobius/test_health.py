"""Up or down, without a login: what a load balancer and an orchestrator ask."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client

from integrations.models import KeyCheck
from integrations.secrets import prove_key
from mobius import firststart, health, working
from mobius.engine.doorbell import Answer
from mobius.engine.ticker import Ticker

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of an earlier look, and the workers live."""
    monkeypatch.setattr(health, "_readiness", health.Readiness())
    monkeypatch.setattr(working, "fault", lambda: "")


def down(client: Client) -> str:
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    return answer.content.decode()


def test_healthz_answers_without_the_database(client: Client, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert client.get("/healthz").content == b"ok"


def test_readyz_says_ok_without_a_login_and_looks_once_a_second_at_most(
    client: Client, django_assert_num_queries: Any
) -> None:
    prove_key()
    assert client.get("/readyz").content == b"ok"
    with django_assert_num_queries(0):
        assert client.get("/readyz").content == b"ok"
    assert "no-store" in client.get("/readyz").headers["Cache-Control"]


def test_a_look_is_two_statements_once_the_schema_is_known(
    client: Client, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    monkeypatch.setattr(health, "_HOLDS_FOR_SECONDS", 0)
    client.get("/readyz")
    with django_assert_num_queries(2):
        client.get("/readyz")


def test_it_is_down_when_nothing_can_be_written(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(health.connection, "cursor", fail)
    assert down(client) == "down: the database cannot be read or written"


def test_it_is_down_while_migrations_are_missing_or_unknown(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firststart, "waiting_migrations", lambda: ["loops.0002_more"])
    assert down(client) == "down: migrations are missing"

    def newer() -> None:
        raise firststart.NewerDatabase

    monkeypatch.setattr(health, "_HOLDS_FOR_SECONDS", 0)
    monkeypatch.setattr(firststart, "waiting_migrations", newer)
    assert down(client) == "down: the database is of a newer version"


def test_it_is_down_with_another_encryption_key(client: Client) -> None:
    prove_key()
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {KeyCheck._meta.db_table} SET proof = 'gAAAA-of-another-key'")
    assert down(client) == "down: the encryption key is not that of the database"


def test_it_is_down_when_what_works_has_died(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working, "fault", lambda: "the ticker has died or hangs")
    assert down(client) == "down: the ticker has died or hangs"


def test_one_that_hangs_keeps_nobody_waiting(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_PATIENCE_SECONDS", 0.01)
    with health._readiness._looking:
        assert down(client) == "down: the database does not answer in time"


def test_a_ticker_that_ended_or_hangs_is_not_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = threading.Event()
    answer = Answer(advance=lambda *_: None, recover=lambda: None, sweep=lambda: float(hangs.wait(10)))
    ticker = Ticker(answer, ring_file=tmp_path / "ring")
    assert not ticker.is_alive
    ticker.start()
    assert ticker.is_alive
    monkeypatch.setattr("mobius.engine.ticker._SWEEPS_END_WITHIN_SECONDS", 0)
    assert not ticker.is_alive
    hangs.set()
    ticker.stop()


@pytest.mark.django_db(transaction=True)
def test_couriers_and_a_mailer_that_do_not_live_are_a_fault(settings: Any) -> None:
    settings.MOBIUS_ENGINE, settings.MOBIUS_WORKERS = "embedded", 1
    works = working.Works()
    works._workers.start()
    works._ticker.start()
    assert works.fault() == "a worker has died"
    works._couriers.start()
    assert works.fault() == "a worker has died"
    works._mailer.start()
    assert works.fault() == ""
    assert works.stop()


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_they_are_only_read(client: Client, path: str) -> None:
    assert client.post(path).status_code == 405
