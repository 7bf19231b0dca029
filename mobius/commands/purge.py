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
    from mobius.notifying.purging import purge_notifications

    keeps = settings.MOBIUS_RETENTION_DAYS if days is None else days
    if not keeps:
        click.echo("bodies are kept for ever (MOBIUS_RETENTION_DAYS=0); nothing to do")
        return
    before = clock.now() - timedelta(days=keeps)
    purged = sum(purge_bodies(before=before))
    click.echo(f"deliveries older than {keeps} days whose bodies were blanked: {purged}")
    click.echo(f"and of webhooks: {purge_notifications(before=before)}")
