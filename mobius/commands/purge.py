"""`mobius purge`: blank the bodies that are older than they may be kept."""

from __future__ import annotations

from datetime import timedelta

import click

from mobius.cli import start_django


def run(*, days: int | None) -> None:
    start_django()
    from django.conf import settings

    from integrations.purging import purge_bodies
    from mobius import clock
    from mobius.projects import auditing
    from mobius.projects.auditing import COMMAND_LINE
    from mobius.projects.sessions import SessionStore

    keeps = settings.MOBIUS_RETENTION_DAYS if days is None else days
    if not keeps:
        click.echo("bodies are kept for ever (MOBIUS_RETENTION_DAYS=0); nothing to do")
        return
    purged = sum(purge_bodies(before=clock.now() - timedelta(days=keeps)))
    SessionStore.clear_expired()
    said = f"Bodies older than {keeps} days; deliveries blanked: {purged:,}."
    auditing.record(COMMAND_LINE, "body.purge", project_id=None, kind="body", id="", reason=said)
    click.echo(f"deliveries older than {keeps} days whose bodies were blanked: {purged}")
