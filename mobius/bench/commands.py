"""`mobius bench`: measure a real console on this machine."""

from __future__ import annotations

import secrets
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType

import click

from mobius.bench.callbacks import CallbackPlan, Callbacks
from mobius.bench.chaos import Chaos
from mobius.bench.chaos import Plan as ChaosPlan
from mobius.bench.engines import ENGINES
from mobius.bench.figures import Figure, table
from mobius.bench.pacing import PacingBench, decide
from mobius.bench.pacing import Plan as PacingPlan
from mobius.bench.run_start import Plan, RunStart
from mobius.bench.stage import Stage, StageBroken
from mobius.bench.suspended import Suspended
from mobius.bench.verdict import judge


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
@click.option("--engine", type=click.Choice(list(ENGINES)), default="embedded", show_default=True)
def run_start(seconds: float, connections: int, rate: float, backlog: int, engine: str) -> None:
    """From a started run to its row at a simulated Clay: rate, latency, CPU, memory, second start.

    Starts an unpaced Clay simulator and, on a fresh temporary data directory, `mobius serve`; with `--engine postgres`
    two web processes and one worker on a database of their own beside the one that DATABASE_URL names. Ends all of
    them. Prints what it measured beside what it must be; it judges nothing.
    """
    plan = Plan(seconds=seconds, connections=connections, rate=rate, backlog=backlog)
    _measure(lambda stage: RunStart(stage, plan, _say).figures(), on=ENGINES[engine])


@bench.command("callbacks")
@click.option("--rate", default=100.0, show_default=True, help="Callbacks a second.")
@click.option("--seconds", default=20.0, show_default=True, help="For how long.")
@click.option("--busy", default=20.0, show_default=True, help="Starts of other runs a second, meanwhile.")
def callbacks(rate: float, seconds: float, busy: float) -> None:
    """Callbacks while runs go on: whether all are stored, and how soon each wakes its run."""
    plan = CallbackPlan(rate=rate, seconds=seconds, busy=busy)
    _measure(lambda stage: Callbacks(stage, plan, _say).figures())


@bench.command("suspended")
@click.option("--runs", default=100_000, show_default=True, help="How many runs wait.")
def suspended(runs: int) -> None:
    """What very many waiting runs cost: a sweep, the memory, the time from a callback to its run."""
    _measure(lambda stage: Suspended(stage, runs, _say).figures())


def _measure(measurements: Callable[[Stage], Iterator[Figure]], *, on: Callable[..., Stage] = Stage) -> None:
    try:
        with on() as stage:
            figures = list(measurements(stage))
    except (StageBroken, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(table(figures))


@bench.command()
@click.option("--minutes", default=10.0, show_default=True, help="How long runs are started and the console is killed.")
@click.option("--rate", default=20.0, show_default=True, help="Starts a second.")
@click.option("--trouble", default=0.1, show_default=True, help="Share of rows that meet a fault or a delay at Clay.")
@click.option("--engine", type=click.Choice(list(ENGINES)), default="embedded", show_default=True)
@click.option("--seed", type=int, help="Throw the dice of an earlier run again.")
def chaos(minutes: float, rate: float, trouble: float, engine: str, seed: int | None) -> None:
    """Kill the console again and again while runs are started; then count what was lost, doubled or stuck.

    Starts `mobius serve` on a fresh temporary data directory and a Clay simulator on a bad day, and ends both. Exit
    status 1 when a single accepted start is lost, doubled or stuck.
    """
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    click.echo(f"seed      {seed}")
    plan = ChaosPlan(seconds=minutes * 60, rate=rate, seed=seed)
    simulate = ["--trouble", str(trouble), "--seed", str(seed), "--callbacks", "--callback-delay", "0.5"]
    try:
        with ENGINES[engine](*simulate) as stage:
            verdict = judge(stage, Chaos(stage, plan, lambda text: click.echo(text, err=True)).run())
    except (StageBroken, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo("\n".join(verdict.lines()))
    if verdict.faults:
        click.echo("\n".join(verdict.faults[:20]), err=True)
        sys.exit(1)


def _say(text: str) -> None:
    click.echo(text, err=True)


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
