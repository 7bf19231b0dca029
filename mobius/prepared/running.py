"""Handing a statement to this thread's connection."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections


class _Here(threading.local):
    """This thread's connection. Django looks for a running event loop whenever it is asked for it."""

    @cached_property
    def database(self) -> Any:
        return connections[DEFAULT_DB_ALIAS]


here = _Here()


def _cursor(database: Any) -> Any:
    """PostgreSQL plans these statements once a connection when it gets their values apart; Django puts them in."""
    if database.vendor != "postgresql":
        return database.create_cursor()
    from psycopg import Cursor  # its package is there only with PostgreSQL

    return Cursor(database.connection)


def run(database: Any, sql: str, params: Sequence[Any]) -> Any:
    """The cursor after the statement."""
    return _run(database, sql, params, each=False)


def run_for_each(database: Any, sql: str, params: Sequence[Sequence[Any]]) -> Any:
    """The cursor after the statement was run with each of `params`; it counts the rows of all."""
    return _run(database, sql, params, each=True) if len(params) > 1 else _run(database, sql, params[0], each=False)


def _run(database: Any, sql: str, params: Sequence[Any], *, each: bool) -> Any:
    """Django's own cursor is for when somebody listens, as a test that counts."""
    if database.force_debug_cursor or database.execute_wrappers or database.needs_rollback:
        cursor = database.cursor()
        (cursor.executemany if each else cursor.execute)(sql, params)
        return cursor
    if database.connection is None:
        database.connect()
    with database.wrap_database_errors:
        cursor = _cursor(database)
        (cursor.executemany if each else cursor.execute)(sql, params)
    return cursor


def execute(sql: str, *params: Any) -> int:
    """Run a statement that is written out. Returns how many rows it met."""
    return int(run(here.database, sql, params).rowcount)


def answered(sql: str, *params: Any) -> list[Any]:
    """Run a statement that is written out. Returns the rows that it answers with."""
    rows: list[Any] = run(here.database, sql, params).fetchall()
    return rows
