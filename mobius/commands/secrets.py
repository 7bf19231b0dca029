"""`mobius secrets rotate`."""

from __future__ import annotations

import click

from mobius.cli import start_django


def rotate(*, forget_unreadable: bool) -> None:
    """Exit status 1 when an old key is still needed."""
    start_django()
    from django.conf import settings

    from integrations.rotating import rotate_secrets
    from integrations.secrets import WrongKey
    from loops.callback_addresses import key_number
    from loops.models import Step
    from mobius.projects.auditing import COMMAND_LINE

    try:
        done = rotate_secrets(forget_unreadable=forget_unreadable, by=COMMAND_LINE)
    except WrongKey as error:
        raise click.ClickException(error.message) from None
    click.echo(f"{done.rotated} secrets are under the first key now; {done.current} were before")
    for name in done.forgotten:
        what = "connect it again, and say how many rows Clay has counted" if "/" in name else "give it a new one"
        click.echo(f"{name}: its secret was erased; {what}")
    for name in done.unreadable:
        click.echo(f"{name}: none of the keys reads its secret; connect it again, or add the key that reads it")
    if done.old:
        click.echo(f"{done.old} secrets are still under an older key, written meanwhile: run this once more")
    waiting = Step.objects.with_addresses_of_other_keys([key_number(settings.FIELD_ENCRYPTION_KEY[0])]).count()
    if waiting:
        click.echo(
            f"{waiting} steps under way have callback addresses made with an older key. The addresses stay valid, but "
            "a row that is sent again must bear the same one: take the older keys away once these steps have ended"
        )
    if not done.complete:
        raise click.ClickException("keep the older keys in FIELD_ENCRYPTION_KEY, and run this again")
    if not waiting:
        click.echo("the first key is the only one that is needed: take the others out of FIELD_ENCRYPTION_KEY")
