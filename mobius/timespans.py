"""Lengths of time in words: measured for tables, rough for sentences, in one unit for what was a while ago."""

from __future__ import annotations

from datetime import timedelta

_UNITS = [(60, "s"), (60, "min"), (24, "h"), (30, "d")]


def measured(time: timedelta) -> str:
    """How long it took: `840 ms`, `12.3 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`."""
    seconds = max(time / timedelta(seconds=1), 0.0)
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"


def rough(time: timedelta) -> str:
    """About how long: `a moment`, `40 seconds`, `17 minutes`, `1 hour 24 minutes`, `3 days 4 hours`."""
    seconds = round(time.total_seconds())
    if seconds < 2:
        return "a moment"
    if seconds < 90:
        return f"{seconds} seconds"
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours < 48:
        return _spoken((hours, "hour"), (minutes, "minute"))
    return _spoken((hours // 24, "day"), (hours % 24, "hour"))


def _spoken(*parts: tuple[int, str]) -> str:
    return " ".join(f"{number} {unit}{'s' if number > 1 else ''}" for number, unit in parts if number)


def in_largest_unit(time: timedelta) -> str:
    """`59 s`, `3 min`, `23 h`, `29 d`; "" from thirty days on."""
    amount = time / timedelta(seconds=1)
    for size, unit in _UNITS:
        if amount < size:
            return f"{int(amount)} {unit}"
        amount /= size
    return ""
