"""`mobius backup`: the database, in one file, while the console works."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from mobius.cli import start_django

_WARNING = (
    "warning: the file holds the encryption key beside what it encrypts. Whoever gets the file gets every webhook "
    "address and token: keep it as you would keep a password."
)
_WITHOUT_KEY = "The encryption key is not in it: keep a copy of that apart, for without it the secrets are lost."


def run(*, file: Path, include_key: bool) -> None:
    start_django()
    from django.db import DatabaseError

    from mobius.errors import MobiusError

    if file.exists():
        raise click.ClickException(f"{file} exists already; a backup overwrites nothing. Choose another name.")
    try:
        _back_up(file, include_key=include_key)
    except MobiusError as error:
        raise click.ClickException(error.message) from None
    except DatabaseError as error:
        raise click.ClickException(f"the database cannot be copied: {error}") from None
    except OSError as error:
        raise click.ClickException(f"cannot write {file}: {error.strerror}") from None
    click.echo(f"backup: {file} ({file.stat().st_size:,} bytes)")
    click.echo(_WARNING if include_key else _WITHOUT_KEY, err=True)


def _back_up(file: Path, *, include_key: bool) -> None:
    from django.conf import settings
    from django.db import connection

    from mobius import clock
    from mobius.backups import archive, databases

    with tempfile.TemporaryDirectory(prefix=".mobius-backup-", dir=file.parent) as folder:
        copy, taken_at = Path(folder) / "database", clock.now()
        databases.copy_to(copy)
        if connection.vendor == "sqlite" and (fault := databases.fault_of(copy)):
            raise databases.CopyFailed(f"the copy is not whole, so nothing was kept: {fault}")
        manifest = archive.Manifest(
            taken_at=taken_at,
            vendor=connection.vendor,
            sha256=archive.digest(copy),
            key_proof=databases.key_proof(),
            holds_key=include_key,
        )
        archive.write(file, manifest, database=copy, key=",".join(settings.FIELD_ENCRYPTION_KEY))
