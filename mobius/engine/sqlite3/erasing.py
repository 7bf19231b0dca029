"""Taking what was deleted out of SQLite's files, too."""

from __future__ import annotations

import time

from django.db import connection, transaction

_TRIES = 5
_PAUSE_SECONDS = 0.05


def erase_after_commit() -> None:
    """Once the transaction commits, empty the journal, which holds what was deleted until it is written over.

    In the database's own file `secure_delete` writes zeros. Readers hold the journal for moments at a time; should all
    tries meet one, the next rows write it over. Nothing to do on other databases.
    """
    if connection.vendor == "sqlite":
        transaction.on_commit(_empty_journal)


def _empty_journal() -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        (patience,) = cursor.fetchone()
        cursor.execute("PRAGMA busy_timeout = 100")  # nobody must wait long for this
        try:
            for _ in range(_TRIES):
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                (busy, *_rest) = cursor.fetchone()
                if not busy:
                    return
                time.sleep(_PAUSE_SECONDS)
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {int(patience)}")
