"""What became of a project's rows, day by day."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.db.models import Case, Count, IntegerField, Value, When

from integrations.models import Attempt, AttemptState
from mobius.ids import first_id
from mobius.projects.models import Project


@dataclass(frozen=True, kw_only=True)
class Day:
    """The rows whose sending began on one day, UTC; what is on its way this moment is not counted yet."""

    date: date
    arrived: int
    in_doubt: int
    failed: int  # refused, not sent, or given up: there is no row

    @property
    def total(self) -> int:
        return self.arrived + self.in_doubt + self.failed


def rows_by_day(project: Project, *, days: int, now: datetime) -> tuple[Day, ...]:
    """The last `days` days, the oldest first, today last; days without rows are there too."""
    dates = [now.astimezone(UTC).date() - timedelta(days=back) for back in reversed(range(days))]
    counted = _count(project, dates)
    return tuple(
        Day(
            date=each,
            arrived=counted[each, AttemptState.ACCEPTED],
            in_doubt=counted[each, AttemptState.IN_DOUBT],
            failed=sum(counted[each, state] for state in AttemptState if state.is_without_a_row),
        )
        for each in dates
    )


def _count(project: Project, dates: list[date]) -> Counter[tuple[date, str]]:
    """By day and state. Ids know the time, so that an index says what is recent and no time is parsed."""
    firsts = {day: first_id("att", datetime.combine(day, time(), UTC)) for day in dates}
    day_of = Case(
        *(When(id__gte=first, then=Value(number)) for number, first in reversed([*enumerate(firsts.values())])),
        output_field=IntegerField(),
    )
    midnight = datetime.combine(dates[0], time(), UTC)
    begun = Attempt.objects.begun_since(midnight, AttemptState).filter(webhook__project=project)
    rows = begun.order_by().values_list(day_of, "state").annotate(Count("pk"))
    return Counter({(dates[day], state): count for day, state, count in rows})
