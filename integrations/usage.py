"""How much of a webhook's lifetime budget is gone, and when the rest will be."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count

from integrations.models import Attempt, AttemptQuerySet, Webhook

_LOOKS_BACK = timedelta(days=7)
_FEWEST_TO_FORECAST = 10


class Fullness(enum.StrEnum):
    """What somebody should know about a budget before it is gone (design §4)."""

    HALF = "half_used"
    THREE_QUARTERS = "three_quarters_used"
    NEARLY_FULL = "nearly_full"
    ALMOST_FULL = "almost_full"
    FULL = "full"


_MARKS = {
    Fullness.HALF: 50,
    Fullness.THREE_QUARTERS: 75,
    Fullness.NEARLY_FULL: 90,
    Fullness.ALMOST_FULL: 97,
    Fullness.FULL: 100,
}
"""Percent of the limit, in rising order."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """`used` exist for sure, `possibly_used` are in doubt; `left` and `limit` are None when there is no limit."""

    used: int
    possibly_used: int
    in_flight: int
    limit: int | None
    forecast_at: datetime | None  # when the limit is reached at the pace of the last seven days

    @property
    def left(self) -> int | None:
        if self.limit is None:
            return None
        return max(self.limit - self.used - self.possibly_used - self.in_flight, 0)

    @property
    def percent(self) -> int:
        """How full the budget is, 0 to 100, rounded down."""
        return min(100, 100 * (self.used + self.possibly_used) // self.limit) if self.limit else 0

    @property
    def fullness(self) -> Fullness | None:
        """The highest mark that is reached; None below the first, and without a limit."""
        reached = [fullness for fullness, mark in _MARKS.items() if self.percent >= mark]
        return reached[-1] if reached else None

    @property
    def mark(self) -> int:
        """The highest mark that is reached, in percent; 0 below the first."""
        return _MARKS[self.fullness] if self.fullness else 0

    def rows_at(self, mark: Fullness) -> int:
        """How many rows reach `mark`; 0 without a limit."""
        return (self.limit or 0) * _MARKS[mark] // 100


def usage_of(webhook: Webhook, *, now: datetime) -> Usage:
    return usage_of_each([webhook], now=now)[webhook.pk]


def usage_of_each(webhooks: list[Webhook], *, now: datetime) -> dict[str, Usage]:
    """The usage of each webhook by its id, in two queries however many there are."""
    in_doubt = _count(Attempt.objects.in_doubt(), webhooks)
    recent = _count(Attempt.objects.made_since(now - _LOOKS_BACK), [one for one in webhooks if one.submission_limit])
    return {
        webhook.pk: Usage(
            used=max(webhook.used - in_doubt.get(webhook.pk, 0), 0),
            possibly_used=in_doubt.get(webhook.pk, 0),
            in_flight=webhook.in_flight,
            limit=webhook.submission_limit,
            forecast_at=_forecast(webhook, recent.get(webhook.pk, 0), now),
        )
        for webhook in webhooks
    }


def _count(attempts: AttemptQuerySet, webhooks: list[Webhook]) -> dict[str, int]:
    counted = attempts.filter(webhook__in=webhooks).order_by().values_list("webhook").annotate(Count("pk"))
    return dict(counted)


def _forecast(webhook: Webhook, rows: int, now: datetime) -> datetime | None:
    """When the limit is reached at the pace of the last seven days. Too few rows tell nothing."""
    limit = webhook.submission_limit
    if limit is None or rows < _FEWEST_TO_FORECAST:
        return None
    since = max(webhook.created_at, now - _LOOKS_BACK)
    seconds_per_row = max((now - since).total_seconds(), 60) / rows
    return now + timedelta(seconds=min(max(limit - webhook.used, 0) * seconds_per_row, 100 * 365 * 86400))
