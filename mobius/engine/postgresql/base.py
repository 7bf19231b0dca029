"""Django's PostgreSQL backend, which sees that a connection has broken without a question to the server.

Django asks `SELECT 1` before the first statement of every request and of every piece of work: a way there and back more
than the work itself needs. A server that has ended, or has ended our session, has closed the connection, and that
can be read on our side.
"""

from __future__ import annotations

import select

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
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
