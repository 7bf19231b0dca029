"""Putting a backup in place. What is restored sends nothing until a person resumes it (integrations/holding.py)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connection, connections

from integrations.holding import hold_all
from integrations.secrets import SecretUnreadable, WrongKey, decrypted
from loops.models import Run
from loops.sweeping import recover
from mobius import clock, firststart
from mobius.alerting.mailing import hold_mails
from mobius.alerting.watching import take_stock
from mobius.backups.archive import Archive
from mobius.backups.databases import CopyFailed, fault_of, is_empty, load_dump
from mobius.errors import Conflict
from mobius.notifying.sending import hold_notifications
from mobius.projects.auditing import COMMAND_LINE

# In the transaction that loads the dump, in the words of every version: should we die after it, nothing is sent.
# A dump leaves an empty search path behind.
_PAUSE_ALL = "RESET search_path; UPDATE integrations_integration SET status = 'inactive' WHERE status = 'active'"


class NotEmpty(Conflict):
    """There is a database already, and a restore overwrites nothing."""


def restore(archive: Archive) -> int:
    """Put the database of `archive` where the settings say, with everything held. Returns how many integrations are.

    It is moved into place last, so that nobody can start a copy that would send. Raises NotEmpty, WrongKey, NoBackup,
    CopyFailed and DatabaseError; then nothing was changed, but for a dump that PostgreSQL has loaded already.
    """
    manifest = archive.manifest
    if manifest.vendor != connection.vendor:
        raise CopyFailed(
            f"The backup is of a {_NAMES[manifest.vendor]} database, and DATABASE_URL names a "
            f"{_NAMES[connection.vendor]} one. A backup is restored into a database of its own kind."
        )
    _demand_key(manifest.key_proof)
    with _aside(archive) if connection.vendor == "sqlite" else _loaded(archive):
        firststart.migrate()
        now = clock.now()
        recover()
        Run.objects.exclude(worker="").update(worker="")
        hold_notifications()
        hold_mails()
        held = hold_all(taken_at=manifest.taken_at, now=now, by=COMMAND_LINE)
        take_stock(now=now)
        return held


_NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


def _demand_key(proof: str) -> None:
    try:
        decrypted(proof or None)
    except SecretUnreadable:
        raise WrongKey from None


@contextmanager
def _aside(archive: Archive) -> Iterator[None]:
    """Work on the file beside its place; it is moved there when all went well."""
    place = Path(connection.settings_dict["NAME"])
    if place.exists():
        raise NotEmpty(
            f"{place} exists already, and a restore overwrites nothing. Move it away, or set MOBIUS_DATA_DIR to "
            "another directory."
        )
    with tempfile.TemporaryDirectory(prefix=".mobius-restore-", dir=place.parent) as folder:
        aside = Path(folder) / place.name
        archive.extract_database(aside)
        if fault := fault_of(aside):
            raise CopyFailed(f"The database in the backup is damaged: {fault}")
        connections.close_all()
        connection.settings_dict["NAME"] = str(aside)
        try:
            yield
        finally:
            connections.close_all()  # the last one out moves the journal into the file
            connection.settings_dict["NAME"] = str(place)
        os.rename(aside, place)


@contextmanager
def _loaded(archive: Archive) -> Iterator[None]:
    if not is_empty():
        raise NotEmpty(
            "The database that DATABASE_URL names has tables already, and a restore overwrites nothing. Make an empty "
            "one (createdb), and name that."
        )
    with tempfile.TemporaryDirectory(prefix="mobius-restore-") as folder:
        dump = Path(folder) / "dump"
        archive.extract_database(dump)
        load_dump(dump, then=_PAUSE_ALL)
    yield
