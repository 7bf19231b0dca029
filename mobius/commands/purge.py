"""`mobius purge`: blank what is older than it may be kept. A ticker does the same by itself, once an hour."""

from __future__ import annotations

from datetime import timedelta

import click

from mobius.cli import start_django


def run(*, days: int | None) -> None:
    start_django()
    from django.conf import settings

    from loops.purging import purge_all
    from mobius import clock
    from mobius.projects import auditing
    from mobius.projects.auditing import COMMAND_LINE
    from mobius.projects.sessions import SessionStore

    keeps = settings.MOBIUS_RETENTION_DAYS if days is None else days
    if not keeps:
        click.echo("bodies are kept for ever (MOBIUS_RETENTION_DAYS=0); nothing to do")
        return
    before = clock.now() - timedelta(days=keeps)
    forgotten = purge_all(before=before)
    SessionStore.clear_expired()
    words = ", ".join(f"{number:,} {name}" for name, number in forgotten.items())
    said = f"Older than {keeps} days, and forgotten: {words}."
    auditing.record(COMMAND_LINE, "body.purge", project_id=None, kind="body", id="", reason=said)
    click.echo(said)
