"""`mobius work`: a worker of the distributed engine, beside any number of others."""

from __future__ import annotations

import click

from mobius.cli import start_django


def run() -> None:
    start_django()
    from django.conf import settings
    from django.db import DatabaseError

    from integrations.secrets import WrongKey, prove_key
    from mobius import firststart, working

    if settings.MOBIUS_ENGINE == "embedded":
        raise click.ClickException(
            "The embedded engine has its workers inside `mobius serve`; there is nothing for another process to do. "
            "For more processes use PostgreSQL: set DATABASE_URL."
        )
    if not settings.MOBIUS_PUBLIC_URL:
        raise click.ClickException(
            "MOBIUS_PUBLIC_URL is not set, and rows could not say where Clay is to call back. "
            "Set it to the address under which the console is reached, the same for every process."
        )
    try:
        if firststart.waiting_migrations():
            raise click.ClickException("the database waits for migrations: run `manage.py migrate` once, then this.")
        prove_key()
        ended = working.work(when_up=lambda: click.echo(f"Mobius worker: {settings.MOBIUS_WORKERS} threads"))
    except (firststart.NewerDatabase, WrongKey) as error:
        raise click.ClickException(error.message) from None
    except DatabaseError:
        raise click.ClickException(
            "the database does not answer, or its tables are missing; see DATABASE_URL, and run `manage.py migrate`."
        ) from None
    if not ended:
        click.echo("mobius: a send was still under way; what it sent is in doubt", err=True)
