"""When a schedule fires: five fields of cron in a time zone, `@hourly` and its kin, or an interval.

Cron is read as Debian's cron reads it (the library cronsim): a job at a fixed time of day runs once on the day on which
the clocks change, at the next moment that exists when its own is left out, and the first time when it comes twice.
`*/15 * * * *` goes on in real time.
"""

from __future__ import annotations

import functools
import zoneinfo
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from loops.durations import parse_duration
from mobius.errors import BadRequest

SHORTEST_INTERVAL = timedelta(seconds=1)
MOST_COUNTED = 1000
"""Missed times beyond it are not counted one by one."""

_NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class ScheduleInvalid(BadRequest):
    """This schedule cannot be read. `field` is the member of its config that is wrong."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, kw_only=True)
class Due:
    """What a look at a schedule finds whose time has come."""

    latest: datetime  # the latest of its times that have come
    missed: int  # how many came before that one and fired nothing
    next: datetime


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Again and again after the same time."""

    length: timedelta

    def after(self, moment: datetime) -> datetime:
        return moment + self.length

    def due(self, planned: datetime, now: datetime) -> Due:
        """What has come since `planned`, a time of this schedule that is not after `now`."""
        missed = (now - planned) // self.length
        latest = planned + missed * self.length
        return Due(latest=latest, missed=missed, next=latest + self.length)


@dataclass(frozen=True, kw_only=True)
class Cron:
    """The times that a cron expression names in a time zone."""

    expression: str
    zone: ZoneInfo

    def after(self, moment: datetime) -> datetime:
        """The first of its times after `moment`, in UTC. Raises StopIteration when there is none for fifty years."""
        return next(self._times(moment))

    def due(self, planned: datetime, now: datetime) -> Due:
        """What has come since `planned`, a time of this schedule that is not after `now`."""
        latest, missed = planned, 0
        for time in islice(self._times(planned), MOST_COUNTED + 1):
            if time > now:
                return Due(latest=latest, missed=missed, next=time)
            latest, missed = time, missed + 1
        backwards = CronSim(self.expression, now.astimezone(self.zone), reverse=True)
        return Due(latest=max(latest, next(backwards).astimezone(UTC)), missed=missed, next=self.after(now))

    def _times(self, moment: datetime) -> Iterator[datetime]:
        # In the hour that comes twice the library may name a time of its first pass.
        times = (time.astimezone(UTC) for time in CronSim(self.expression, moment.astimezone(self.zone)))
        return (time for time in times if time > moment)


Schedule = Interval | Cron


def read_schedule(config: Mapping[str, Any]) -> Schedule:
    """The schedule of a trigger's config. Raises ScheduleInvalid."""
    cron, interval, name = (config.get(field) for field in ("cron", "interval", "timezone"))
    if (cron is None) == (interval is None):
        raise ScheduleInvalid("cron", "Give either `cron`, such as `0 9 * * 1-5`, or `interval`, such as `15m`.")
    zone = _zone(name)
    return _interval(interval) if cron is None else _cron(str(cron), zone)


def _interval(text: Any) -> Interval:
    try:
        length = parse_duration(str(text))
    except BadRequest as error:
        raise ScheduleInvalid("interval", error.message) from None
    if length < SHORTEST_INTERVAL:
        raise ScheduleInvalid("interval", "The shortest interval is 1s.")
    if length > timedelta(days=3660):
        raise ScheduleInvalid("interval", "The longest interval is ten years.")
    return Interval(length=length)


def _cron(text: str, zone: ZoneInfo) -> Cron:
    expression = _NICKNAMES.get(text.strip().lower(), text)
    if expression.lstrip().startswith("@"):
        raise ScheduleInvalid("cron", f"There is no `{text.strip()[:40]}`; there are {', '.join(_NICKNAMES)}.")
    if len(expression.split()) != 5:
        raise ScheduleInvalid(
            "cron", "Write five fields: minute, hour, day of month, month, day of week, such as `0 9 * * 1-5`."
        )
    cron = Cron(expression=expression, zone=zone)
    try:
        cron.after(datetime(2026, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise ScheduleInvalid("cron", f"`{expression[:100]}` cannot be read: {str(error).lower()}.") from None
    except StopIteration:
        raise ScheduleInvalid("cron", f"`{expression[:100]}` names a day that never comes.") from None
    return cron


def _zone(name: Any) -> ZoneInfo:
    if name is None:
        return ZoneInfo("UTC")
    if name not in _zones():
        sentence = f"There is no time zone `{str(name)[:64]}`. Write one such as `Europe/Berlin` or `UTC`."
        raise ScheduleInvalid("timezone", sentence)
    return ZoneInfo(str(name))


@functools.cache
def _zones() -> set[str]:
    return zoneinfo.available_timezones()
