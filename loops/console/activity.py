"""The rows of the last days on a project's first page: a plot, and the same numbers in a table."""

from __future__ import annotations

from dataclasses import dataclass

from integrations.activity import Day, rows_by_day
from loops.console.queue import rows_in_words
from mobius import clock
from mobius.projects.models import Project
from mobius.web.plots import Column, StackedBars, stacked_bars

_DAYS = 14


@dataclass(frozen=True, kw_only=True)
class Activity:
    """`days` are those with rows, the newest first."""

    plot: StackedBars
    days: tuple[Day, ...]
    summary: str


def activity_of(project: Project) -> Activity | None:
    """None when no row was sent in these days."""
    days = rows_by_day(project, days=_DAYS, now=clock.now())
    with_rows = tuple(day for day in reversed(days) if day.total)
    if not with_rows:
        return None
    return Activity(
        plot=stacked_bars([_column(day) for day in days]),
        days=with_rows,
        summary=f"{rows_in_words(sum(day.arrived for day in days))} arrived in the last {_DAYS} days",
    )


def _column(day: Day) -> Column:
    told = [f"{day.arrived:,} arrived"]
    told += [f"{day.in_doubt:,} in doubt"] if day.in_doubt else []
    told += [f"{day.failed:,} failed"] if day.failed else []
    return Column(
        name=f"{day.date.day} {day.date:%b}",
        title=f"{day.date.day} {day.date:%B}: {', '.join(told)}",
        parts=(("good", day.arrived), ("doubt", day.in_doubt), ("bad", day.failed)),
    )
