"""Trouble with the database that passes is told from faults of ours, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import DataError, IntegrityError, InterfaceError, InternalError, OperationalError, connection
from django.db.transaction import TransactionManagementError
from django.test import Client

from loops.models import Loop, Run
from mobius.engine import trouble
from mobius.engine.trouble import is_passing, written_at_last
from tests.cast import Api


@contextmanager
def read_only() -> Iterator[None]:
    on, off = (
        ("PRAGMA query_only = ON", "PRAGMA query_only = OFF")
        if connection.vendor == "sqlite"
        else ("SET default_transaction_read_only = on", "SET default_transaction_read_only = off")
    )
    with connection.cursor() as cursor:
        cursor.execute(on)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(off)


@pytest.mark.django_db(transaction=True)
def test_a_read_only_database_answers_503_then_takes_everything_again(api: Api, push_leads: Loop) -> None:
    path = f"{api.root}/loops/push-leads/runs"
    with read_only():
        refused = api.post(path, {"event": {}})
        read = api.get(f"{api.root}/runs")

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert refused.json()["error"]["code"] == "service_unavailable"
    assert read.status_code == 200
    assert api.post(path, {"event": {}}).status_code == 202
    assert Run.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_page_that_cannot_store_anything_says_so_without_a_traceback(client: Client) -> None:
    client.raise_request_exception = False
    with read_only():
        page = client.post("/login/", {"username": "nobody", "password": "nothing"})

    assert (page.status_code, page.headers["Retry-After"]) == (503, "1")
    assert "The database cannot be used just now" in page.content.decode()
    assert "Traceback" not in page.content.decode()


def caused(error: Exception, **told: str) -> Exception:
    """`error` as Django raises it for an error of the database's own library."""
    cause: Any = Exception()
    cause.__dict__.update(told)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (caused(OperationalError("full"), sqlite_errorname="SQLITE_FULL"), True),
        (caused(OperationalError("I/O"), sqlite_errorname="SQLITE_IOERR_WRITE"), True),
        (OperationalError("the server closed the connection"), True),
        (InterfaceError("the connection is closed"), True),
        (caused(OperationalError("no such table"), sqlite_errorname="SQLITE_ERROR"), False),
        (caused(InternalError("read-only"), sqlstate="25006"), True),
        (caused(InternalError("broken"), sqlstate="XX001"), False),
        (IntegrityError("taken"), False),
        (DataError("too long"), False),
        (TransactionManagementError("a fault of ours"), False),
        (ValueError("a fault of ours"), False),
        (None, False),
    ],
)
def test_only_what_may_succeed_later_is_passing(error: Exception | None, passes: bool) -> None:
    assert is_passing(error) is passes


def test_what_follows_passing_trouble_in_its_transaction_passes_too() -> None:
    follows = TransactionManagementError("cannot execute queries until the end of the block")
    follows.__cause__ = OperationalError("full")

    assert is_passing(follows)


@pytest.mark.django_db
def test_an_outcome_is_tried_until_it_is_written_or_we_are_closing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trouble, "_MOMENT_SECONDS", 0)
    tries: list[int] = []

    def third_time() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise OperationalError("database is locked")
        return "written"

    assert written_at_last(third_time, lambda: True) == "written"
    with pytest.raises(ValueError, match="ours"):
        written_at_last(lambda: (_ for _ in ()).throw(ValueError("ours")), lambda: True)
    tries.clear()
    with pytest.raises(OperationalError):
        written_at_last(third_time, lambda: False)
