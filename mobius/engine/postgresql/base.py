"""Django's PostgreSQL backend, which sees that a connection has broken without a question to the server.

Django asks `SELECT 1` before the first statement of every request and of every piece of work: a way there and back more
than the work itself needs. A server that has ended, or has ended our session, has closed the connection, and that
can be read on our side.
"""

from __future__ import annotations

import select
import threading
from typing import Any

from django.db.backends.postgresql import base, schema

_BY_INDEX = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off"


class _Thread(threading.local):
    goes_by_index = False


_thread = _Thread()


def go_by_index() -> None:
    """Let this thread's connections find rows by an index, whatever PostgreSQL thinks of that.

    It judges by what it counted last, keeps the plan for as long as the connection, and reads all of a table that was
    small then: in the first minutes of a new console every statement of a run, the slower the more runs there are.
    """
    _thread.goes_by_index = True


class SchemaEditor(schema.DatabaseSchemaEditor):
    def _create_like_index_sql(self, model: Any, field: Any) -> None:
        """Nobody looks for an id by its beginning: for that Django makes a second index on each of them."""


class DatabaseWrapper(base.DatabaseWrapper):
    SchemaEditorClass = SchemaEditor

    def init_connection_state(self) -> None:
        super().init_connection_state()
        if _thread.goes_by_index:
            with self.connection.cursor() as cursor:
                cursor.execute(_BY_INDEX)

    def is_usable(self) -> bool:
        """After an error Django's own question is asked: the connection stands, but does the server answer?"""
        if self.connection is None or self.connection.closed:
            return False
        return bool(super().is_usable()) if self.errors_occurred else self._is_silent()

    def _is_silent(self) -> bool:
        """Nothing may come while we have asked nothing: the end of the connection, or what is wrong with it."""
        waiting = select.poll()
        waiting.register(self.connection.fileno(), select.POLLIN)
        return not waiting.poll(0)
