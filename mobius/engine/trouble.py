"""Trouble with the database that passes: it is locked, full, read-only, restarting or out of reach."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import IntegrityError, InterfaceError, InternalError, OperationalError, close_old_connections, connection
from django.db.transaction import TransactionManagementError

T = TypeVar("T")

logger = logging.getLogger(__name__)
_MOMENT_SECONDS = 1.0
_FOREIGN_KEY = "23503"
_READ_ONLY = "25006"  # SQLSTATE of PostgreSQL, which counts it among its internal errors


def is_passing(error: BaseException | None) -> bool:
    """May the very same work succeed later, without anybody changing it?

    Not so for a mistake in a statement, or a database file that is broken.
    """
    match error:
        case OperationalError():
            return getattr(error.__cause__, "sqlite_errorname", "") != "SQLITE_ERROR"
        case InterfaceError():  # the connection was closed under us
            return True
        case InternalError():
            return getattr(error.__cause__, "sqlstate", "") == _READ_ONLY
        case TransactionManagementError():  # what follows such trouble within one transaction
            return is_passing(error.__cause__)
    return False


def is_orphaned(error: BaseException | None) -> bool:
    """Was what is written to belong to something that somebody else has just deleted? The commit says so."""
    if not isinstance(error, IntegrityError):
        return False
    cause = error.__cause__
    sqlite, postgresql = getattr(cause, "sqlite_errorname", ""), getattr(cause, "sqlstate", "")
    return sqlite == "SQLITE_CONSTRAINT_FOREIGNKEY" or postgresql == _FOREIGN_KEY


def wait_a_moment() -> None:
    """Before the next try; a connection that broke is given up, so that the next try makes a new one."""
    if not connection.in_atomic_block:
        close_old_connections()
    time.sleep(_MOMENT_SECONDS)


def written_at_last(write: Callable[[], T], go_on: Callable[[], bool]) -> T:
    """What `write` returns, tried again while the trouble passes and `go_on` allows. Raises what it raised last."""
    while True:
        try:
            return write()
        except Exception as error:
            if not is_passing(error) or not go_on():
                raise
            logger.warning("what came of a row cannot be written just now; trying again: %s", error)
        wait_a_moment()
