"""A consistent copy of the database in one file, made while others write, and the way back. Both databases."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from django.db import connection

from mobius.errors import MobiusError

_PASSED_ON = {"sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY"}


class CopyFailed(MobiusError):
    """The database could not be copied."""


def copy_to(path: Path) -> None:
    """Write what is committed now to `path`, which is new; writers go on. Raises CopyFailed and DatabaseError."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM INTO %s", [str(path)])
        return
    _run("pg_dump", "--no-owner", "--no-privileges", "--file", str(path))


def load_dump(path: Path, *, then: str) -> None:
    """Load a dump of PostgreSQL into the empty database, and do `then`, in one transaction. Raises CopyFailed."""
    options = ("--no-psqlrc", "--quiet", "--single-transaction", "--set", "ON_ERROR_STOP=1", "--output", os.devnull)
    _run("psql", *options, "--file", str(path), "--command", then)


def fault_of(path: Path) -> str:
    """What SQLite finds wrong with the file at `path`; "" when it is whole."""
    import sqlite3
    from contextlib import closing

    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as copy:
            found = [str(row[0]) for row in copy.execute("PRAGMA integrity_check")]
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if found == ["ok"] else "; ".join(found[:3])


def is_empty() -> bool:
    """Are there no tables of ours yet?"""
    return "django_migrations" not in connection.introspection.table_names()


def key_proof() -> str:
    """The proof of the encryption key as it is stored, encrypted; "" when there is none."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT proof FROM integrations_keycheck ORDER BY id LIMIT 1")
        row = cursor.fetchone()
    return row[0] if row else ""


def _run(program: str, *arguments: str) -> None:
    """One of PostgreSQL's own programs; the password goes by the environment, which no process list shows."""
    if shutil.which(program) is None:
        raise CopyFailed(
            f"{program} is not installed here. Install PostgreSQL's client programs (Debian: apt install "
            "postgresql-client), of the server's version or newer, and try again."
        )
    done = subprocess.run([program, *arguments], env=os.environ | _address(), capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise CopyFailed(f"{program} failed: {next((line for line in said if 'error' in line.lower()), said[-1])}")


def _address() -> dict[str, str]:
    database = connection.settings_dict
    named = {"PGHOST": "HOST", "PGPORT": "PORT", "PGUSER": "USER", "PGPASSWORD": "PASSWORD", "PGDATABASE": "NAME"}
    address = {variable: str(database[name]) for variable, name in named.items() if database.get(name)}
    options = database.get("OPTIONS", {})
    return address | {variable: str(options[name]) for name, variable in _PASSED_ON.items() if name in options}
