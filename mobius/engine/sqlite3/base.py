"""Django's SQLite backend, with one queue for the writers of this process.

SQLite lets one connection write at a time and makes the others sleep and try again, which is slow and unfair under
load: who sleeps meets the gap between two others by chance alone. Here every `atomic()` waits for its turn on a lock
before it says BEGIN IMMEDIATE, and gives the turn back with COMMIT or ROLLBACK, before the on-commit hooks run; a write
outside of a transaction has a turn to itself. Other processes are still held off by SQLite itself.

On a full or failing disk SQLite rolls the whole transaction back by itself, and every statement after that would be
committed on its own. Django does not notice; here it does, and lets nothing more happen in that transaction.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from django.db.backends.sqlite3 import base
from django.db.utils import DatabaseErrorWrapper, OperationalError
from django.utils.functional import cached_property

_turn = threading.Lock()
_PATIENCE_SECONDS = 20


class Cursor(base.SQLiteCursorWrapper):
    """Turns each statement's `%s` into `?` once, not at every call, and has writes wait for their turn."""

    wrapper: DatabaseWrapper

    def execute(self, query: str, params: Any = None) -> Any:
        if self.connection.in_transaction or not _writes(query):
            return super().execute(query, params)
        with self.wrapper.turn():
            return super().execute(query, params)

    def executemany(self, query: str, param_list: Any) -> Any:
        if self.connection.in_transaction:
            return super().executemany(query, param_list)
        with self.wrapper.turn():
            return super().executemany(query, param_list)

    def convert_query(self, query: str, *, param_names: list[str] | None = None) -> str:
        if param_names is None:
            return _with_question_marks(query)
        return str(super().convert_query(query, param_names=param_names))


@lru_cache(maxsize=1000)
def _with_question_marks(query: str) -> str:
    return base.FORMAT_QMARK_REGEX.sub("?", query).replace("%%", "%")


@lru_cache(maxsize=1000)
def _writes(query: str) -> bool:
    return query.lstrip()[:6].upper() in ("INSERT", "UPDATE", "DELETE")


def _depth(sid: str) -> str:
    return sid.partition(".")[0]


class ErrorWrapper(DatabaseErrorWrapper):
    """Also notices that SQLite has given the transaction up."""

    wrapper: DatabaseWrapper

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        if exc_type is not None:
            self.wrapper.notice_lost_transaction()
        super().__exit__(exc_type, exc_value, traceback)


class DatabaseWrapper(base.DatabaseWrapper):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._has_turn = False
        self._savepoints = itertools.count()

    @cached_property
    def wrap_database_errors(self) -> ErrorWrapper:
        return ErrorWrapper(self)

    def notice_lost_transaction(self) -> None:
        """Is the transaction gone that Django believes to be in? Then all of it has failed."""
        if self.in_atomic_block and self._has_turn and self.connection is not None:
            self.needs_rollback = self.needs_rollback or not self.connection.in_transaction

    def create_cursor(self, name: str | None = None) -> Any:
        cursor = self.connection.cursor(factory=Cursor)
        cursor.wrapper = self
        return cursor

    @contextmanager
    def turn(self) -> Iterator[None]:
        """For one statement. Raises OperationalError when others take too long; does nothing for who has it already."""
        if self._has_turn:
            yield
            return
        self._take_turn()
        try:
            yield
        finally:
            self._give_turn_back()

    def savepoint(self) -> str | None:
        """For Django each has a name of its own: by it Django forgets what was to happen at the commit, when one is
        rolled back. SQLite knows it by its depth, so that each name is compiled once and not one for every savepoint.
        """
        if not self._savepoint_allowed():  # type: ignore[attr-defined]  # Django's own, left out of the stubs
            return None
        sid = f"s{len(self.savepoint_ids)}.{next(self._savepoints)}"
        self._savepoint(sid)
        return sid

    def _savepoint(self, sid: str) -> None:
        super()._savepoint(_depth(sid))  # type: ignore[misc]

    def _savepoint_rollback(self, sid: str) -> None:
        super()._savepoint_rollback(_depth(sid))  # type: ignore[misc]

    def _savepoint_commit(self, sid: str) -> None:
        super()._savepoint_commit(_depth(sid))  # type: ignore[misc]

    def _start_transaction_under_autocommit(self) -> None:
        self._take_turn()
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]  # Django's own, left out of the stubs
        except BaseException:
            self._give_turn_back()
            raise

    def _commit(self) -> None:
        super()._commit()  # type: ignore[misc]  # when it fails, Django rolls back, and the turn ends there
        self._give_turn_back()

    def _rollback(self) -> None:
        try:
            super()._rollback()  # type: ignore[misc]
        finally:
            self._give_turn_back()

    def _close(self) -> None:
        try:
            super()._close()  # type: ignore[misc]
        finally:
            self._give_turn_back()

    def _take_turn(self) -> None:
        if not _turn.acquire(timeout=self.settings_dict["OPTIONS"].get("timeout", _PATIENCE_SECONDS)):
            raise OperationalError("database is locked: other writers of this process took too long")
        self._has_turn = True

    def _give_turn_back(self) -> None:
        if self._has_turn:
            self._has_turn = False
            _turn.release()
