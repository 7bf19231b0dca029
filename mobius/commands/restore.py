"""`mobius restore`: a backup, put into an empty place. It sends nothing until somebody says so."""

from __future__ import annotations

import os
from pathlib import Path

import click

from mobius import datadir
from mobius.backups.archive import Archive
from mobius.cli import data_directory, start_django
from mobius.errors import MobiusError


def run(*, file: Path) -> None:
    os.umask(0o077)
    try:
        with Archive(file) as archive:
            directory = data_directory()
            made_key = _bring_keys(directory, archive.key)
            try:
                lock = datadir.hold(directory)
            except datadir.InUse:
                raise click.ClickException(f"a `mobius serve` runs on {directory}. Stop it first.") from None
            try:
                held = _restore(archive)
            except BaseException:
                if made_key is not None:
                    made_key.unlink(missing_ok=True)
                raise
            finally:
                lock.release()
    except MobiusError as error:
        raise click.ClickException(error.message) from None
    except OSError as error:
        raise click.ClickException(f"{error.filename or file}: {error.strerror}") from None
    click.echo(f"restored: the console as it was at {archive.manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC")
    click.echo(
        f"integrations held: {held}. What the original did after the backup is not known here, so rows that wait may "
        "have been sent already. Nothing goes out until somebody resumes each integration on its page, after a look at "
        "the rows that wait there. API keys and people are as they were then: revoke again what was revoked since."
    )


def _bring_keys(directory: Path, key: str) -> Path | None:
    """Put the key of the backup where there is none. Returns the file, when it was made."""
    place = directory / datadir.ENCRYPTION_KEY_FILE
    missing = not os.environ.get("FIELD_ENCRYPTION_KEY") and not place.exists()
    if missing and not key:
        raise click.ClickException(
            "the backup holds no encryption key, and there is none here. Set FIELD_ENCRYPTION_KEY to the original's "
            f"key, or put its file field_encryption_key into {directory}."
        )
    datadir.prepare(directory, encryption_key=key)
    return place if missing else None


def _restore(archive: Archive) -> int:
    start_django()
    from django.db import DatabaseError

    from mobius.backups import restoring

    try:
        return restoring.restore(archive)
    except DatabaseError as error:
        raise click.ClickException(f"the database cannot be restored: {error}") from None
