"""`mobius bench`: measure a real console on this machine."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import click

from mobius.bench.figures import Figure, table
from mobius.bench.pacing import PacingBench, decide
from mobius.bench.pacing import Plan as PacingPlan
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
def run_start(seconds: float, connections: int, rate: float, backlog: int) -> None:
    """From a started run to its row at a simulated Clay: rate, latency, CPU, memory, second start.

    Starts `mobius serve` on a fresh temporary data directory and an unpaced Clay simulator, and ends both. Prints
    what it measured beside what it must be; it judges nothing.
    """
    plan = Plan(seconds=seconds, connections=connections, rate=rate, backlog=backlog)
    try:
        with Stage() as stage:
            figures = list(RunStart(stage, plan, lambda text: click.echo(text, err=True)).figures())
    except (StageBroken, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(table(figures))


@bench.command("pacing")
@click.option("--rows", default=1000, show_default=True, help="The backlog at Clay's pace: about ten a second.")
@click.option("--unpaced", default=100, show_default=True, help="Unpaced integrations beside a paced one.")
@click.option("--seconds", default=10.0, show_default=True, help="How long they are loaded, without and with it.")
def pacing(rows: int, unpaced: int, seconds: float) -> None:
    """A backlog to a Clay that keeps its limits, and what it costs everybody else.

    Starts two consoles and two simulators on fresh temporary data directories, one after the other. Prints what it
    measured beside what it must be; it judges nothing.
    """
    plan = PacingPlan(rows=rows, unpaced=unpaced, seconds=seconds)
    figures: list[Figure] = []
    try:
        for strict in (True, False):
            with Stage(strict=strict) as stage:
                measure = PacingBench(stage, plan, lambda text: click.echo(text, err=True))
                figures += measure.strict() if strict else measure.free()
    except (StageBroken, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(table(figures))


@bench.command("decisions", hidden=True)
@click.option("--seconds", default=3.0, show_default=True)
def decisions(seconds: float) -> None:
    """Slots that one pacer grants a second, on the configured database."""
    from mobius.cli import start_django

    start_django()
    click.echo(f"{decide(seconds):.0f}")
