"""How much of a webhook's lifetime budget is gone, and when the rest will be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from integrations.models import Attempt, AttemptState, Webhook

_LOOKS_BACK = timedelta(days=7)


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
        """How full the budget is, 0 to 100."""
        return min(100, 100 * (self.used + self.possibly_used) // self.limit) if self.limit else 0


def usage_of(webhook: Webhook, *, now: datetime) -> Usage:
    in_doubt = Attempt.objects.in_doubt().filter(webhook=webhook).count()
    return Usage(
        used=max(webhook.used - in_doubt, 0),
        possibly_used=in_doubt,
        in_flight=webhook.in_flight,
        limit=webhook.submission_limit,
        forecast_at=_forecast(webhook, now),
    )


def _forecast(webhook: Webhook, now: datetime) -> datetime | None:
    limit = webhook.submission_limit
    if limit is None:
        return None
    recent = Attempt.objects.filter(webhook=webhook, created_at__gte=now - _LOOKS_BACK)
    rows = recent.filter(state__in=[AttemptState.ACCEPTED, AttemptState.IN_DOUBT]).count()
    if not rows:
        return None
    since = max(webhook.created_at, now - _LOOKS_BACK)
    seconds_per_row = max((now - since).total_seconds(), 60) / rows
    return now + timedelta(seconds=min(max(limit - webhook.used, 0) * seconds_per_row, 100 * 365 * 86400))
