"""Django's SQLite backend, with one queue for the writers of this process.

SQLite lets one connection write at a time and makes the others sleep and try again, which is slow and unfair under
load. Here every `atomic()` waits for its turn on a lock before it says BEGIN IMMEDIATE, and gives the turn back with
COMMIT or ROLLBACK, before the on-commit hooks run. Other processes are still held off by SQLite itself.
"""

from __future__ import annotations

import threading
from typing import Any

from django.db.backends.sqlite3 import base
from django.db.utils import OperationalError

_turn = threading.Lock()
_PATIENCE_SECONDS = 20


class DatabaseWrapper(base.DatabaseWrapper):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._has_turn = False

    def _start_transaction_under_autocommit(self) -> None:
        if not _turn.acquire(timeout=_PATIENCE_SECONDS):
            raise OperationalError("database is locked: other writers of this process took too long")
        self._has_turn = True
        try:
            super()._start_transaction_under_autocommit()
        except BaseException:
            self._give_turn_back()
            raise

    def _commit(self) -> None:
        super()._commit()  # when it fails, Django rolls back, and the turn ends there
        self._give_turn_back()

    def _rollback(self) -> None:
        try:
            super()._rollback()
        finally:
            self._give_turn_back()

    def _close(self) -> None:
        try:
            super()._close()
        finally:
            self._give_turn_back()

    def _give_turn_back(self) -> None:
        if self._has_turn:
            self._has_turn = False
            _turn.release()
