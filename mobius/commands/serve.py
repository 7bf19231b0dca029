"""`mobius serve`, in order: directory, keys, lock, schema, static files, first user, then the server."""

from __future__ import annotations

import os
from typing import Any

import click

from mobius import datadir
from mobius.cli import data_directory, start_django


def run(*, host: str, port: int, demo: bool) -> None:
    os.umask(0o077)  # the database and its journal are as private as the keys
    directory = data_directory()
    datadir.prepare(directory)
    try:
        lock = datadir.hold(directory)
    except datadir.InUse:
        raise click.ClickException(
            f"another `mobius serve` runs on {directory}. Stop it first, or set MOBIUS_DATA_DIR to another directory."
        ) from None
    os.environ["MOBIUS_PUBLIC_URL"] = os.environ.get("MOBIUS_PUBLIC_URL") or f"http://{_name_of(host)}:{port}"
    os.environ["MOBIUS_LISTENS_ON"] = host
    simulator = _simulator() if demo else None
    start_django()
    _refuse_unsafe()
    password = _make_ready()
    try:
        ended = _serve(host, port, password, simulator)
    finally:
        if simulator is not None:
            simulator.stop()
        lock.release()
    if not ended:
        click.echo("mobius: a send was still under way; what it sent is in doubt at the next start", err=True)


def _make_ready() -> str:
    """Bring everything up to date. Returns the first user's password when it was made just now."""
    from integrations.secrets import WrongKey, prove_key
    from mobius import firststart

    try:
        firststart.migrate()
        prove_key()
    except (firststart.NewerDatabase, WrongKey) as error:
        raise click.ClickException(error.message) from None
    firststart.collect_static()
    return firststart.first_admin()


def _serve(host: str, port: int, password: str, simulator: Any) -> bool:
    from mobius import serving
    from mobius.wsgi import application

    def when_up() -> None:
        click.echo(f"Mobius console: http://{_name_of(host)}:{port}/")
        if password:
            click.echo(f"user: admin\npassword: {password}")
        if simulator is not None:
            from mobius.commands import demo

            demo.prepare(simulator.url)

    try:
        return serving.serve(application, host=host, port=port, when_up=when_up)
    except OSError as error:
        raise click.ClickException(
            f"cannot listen on {host}:{port} ({error.strerror}). Choose another port with --port."
        ) from None


def _refuse_unsafe() -> None:
    from django.core.exceptions import ImproperlyConfigured

    from mobius.exposure import refuse_debug_for_others

    try:
        refuse_debug_for_others()
    except ImproperlyConfigured as error:
        raise click.ClickException(f"{error}") from None


def _simulator() -> Any:
    """The simulated Clay, started before the settings are read, because they must allow its address."""
    from integrations.providers.clay.simulator import ClaySimulator

    simulator = ClaySimulator(callbacks=True, callback_delay=1.0, answer="json")
    simulator.start()
    allowed = os.environ.get("MOBIUS_OUTBOUND_ALLOW", "")
    os.environ["MOBIUS_OUTBOUND_ALLOW"] = ",".join(filter(None, [allowed, f"127.0.0.1/32:{simulator.port}"]))
    return simulator


def _name_of(host: str) -> str:
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  (what a person may ask for)
    return everywhere.get(host, f"[{host}]" if ":" in host else host)
