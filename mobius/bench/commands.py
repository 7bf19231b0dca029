"""`mobius bench`: measure a real console on this machine."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

import click

from mobius.bench.figures import table
from mobius.bench.run_start import Plan, RunStart
from mobius.bench.stage import Stage, StageBroken


@click.group()
def bench() -> None:
    """Measure a real console on this machine."""
    signal.signal(signal.SIGTERM, end_in_order)


def end_in_order(_number: int, _frame: FrameType | None) -> None:
    """Leave by an exception, so that the processes of the stage are ended too."""
    sys.exit(143)


@bench.command("run-start")
@click.option("--seconds", default=10.0, show_default=True, help="How long each timed phase lasts.")
@click.option("--connections", default=16, show_default=True, help="Kept-alive connections that start runs.")
@click.option("--rate", default=20.0, show_default=True, help="Starts a second while latencies are measured.")
@click.option("--backlog", default=1000, show_default=True, help="Runs that wait before the backlog is measured.")
@click.option("--engine", type=click.Choice(["embedded", "postgres"]), default="embedded", show_default=True)
def run_start(seconds: float, connections: int, rate: float, backlog: int, engine: str) -> None:
    """From a started run to its row at a simulated Clay: rate, latency, CPU, memory, second start.

    Starts an unpaced Clay simulator and, on a fresh temporary data directory, `mobius serve`; with `--engine postgres`
    two web processes and one worker on a database of their own beside the one that DATABASE_URL names. Ends all of
    them. Prints what it measured beside what it must be; it judges nothing.
    """
    plan = Plan(seconds=seconds, connections=connections, rate=rate, backlog=backlog)
    try:
        with _stage(engine) as stage:
            figures = list(RunStart(stage, plan, lambda text: click.echo(text, err=True)).figures())
    except (StageBroken, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(table(figures))


def _stage(engine: str) -> Stage:
    if engine == "embedded":
        return Stage()
    from mobius.bench.postgres import PostgresStage  # its packages are there only with PostgreSQL

    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith("postgres"):
        raise click.ClickException("set DATABASE_URL=postgres://user:password@host/name of a PostgreSQL to measure on.")
    return PostgresStage(database_url=url)
