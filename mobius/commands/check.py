"""`mobius check`: what is wrong, and what to do."""

from __future__ import annotations

import click

from mobius.cli import data_directory, start_django


def run() -> None:
    """One line for each thing that was looked at; exit status 1 when one of them is wrong."""
    start_django()
    faults = [fault for fault in (_line(*one) for one in _checks()) if fault]
    if held := _held():
        click.echo(f"integrations: nothing goes out of {held} since this console was restored; resume each on its page")
    if faults:
        raise click.ClickException(f"{len(faults)} of the above need a hand.")


def _checks() -> list[tuple[str, str]]:
    """Name and fault of each check; an empty fault is a good one."""
    return [
        ("configuration", _configuration()),
        ("data directory", _directory()),
        ("database", _database()),
        ("encryption key", _encryption()),
    ]


def _line(name: str, fault: str) -> str:
    click.echo(f"{name}: {fault or 'ok'}")
    return fault


def _directory() -> str:
    directory = data_directory()
    return "" if directory.is_dir() else f"{directory} is missing; run `python3 -m mobius serve`."


def _configuration() -> str:
    from django.core import checks

    messages = [message for message in checks.run_checks() if message.is_serious()]
    return "; ".join(f"{message.msg} {message.hint or ''}".strip() for message in messages)


def _database() -> str:
    from django.db import DatabaseError

    from mobius import firststart

    try:
        waiting = firststart.waiting_migrations()
    except firststart.NewerDatabase as error:
        return error.message
    except DatabaseError:
        return "it does not answer; see DATABASE_URL."
    if not waiting:
        return ""
    return f"{len(waiting)} migrations are missing; run `python3 -m mobius serve` or `manage.py migrate`."


def _held() -> str:
    """The integrations that wait for a person since a restore. No fault, but somebody should know."""
    from django.db import DatabaseError

    from integrations.models import Integration

    try:
        held = (
            Integration.objects.exclude(held_since=None).select_related("project").order_by("project__handle", "name")
        )
        return ", ".join(f"{one.project.handle}/{one.name}" for one in held)
    except DatabaseError:
        return ""


def _encryption() -> str:
    from django.db import DatabaseError

    from integrations.secrets import WrongKey, prove_key

    try:
        prove_key()
    except WrongKey as error:
        return error.message
    except DatabaseError:
        return "cannot be proved without the database."
    return ""
