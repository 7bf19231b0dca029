"""Go's durations, as Mobius writes them: `30s`, `5m`, `1h30m`, `1.5h`, `100ms`."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

from mobius.errors import BadRequest

_MICROSECONDS = {
    "ns": Decimal("0.001"),
    "us": Decimal(1),
    "µs": Decimal(1),  # micro sign
    "μs": Decimal(1),  # Greek mu
    "ms": Decimal(1000),
    "s": Decimal(1_000_000),
    "m": Decimal(60_000_000),
    "h": Decimal(3_600_000_000),
}
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_LONGEST = timedelta(microseconds=(2**63 - 1) // 1000)  # what Go can hold: about 292 years
_MAX_LENGTH = 64


class DurationInvalid(BadRequest):
    """This is not a duration: write a number and a unit (ms, s, m, h), such as `30s`, `5m` or `1h30m`."""


def parse_duration(text: str) -> timedelta:
    """The time that a Go duration tells, to the microsecond; `0` needs no unit. Raises DurationInvalid."""
    shown = text[:_MAX_LENGTH]
    if text == "0":
        return timedelta()
    if text.startswith("-"):
        raise DurationInvalid(f"`{shown}` is negative: a duration here is a time to wait.")
    parts = _PART.findall(text) if len(text) <= _MAX_LENGTH else []
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise DurationInvalid(f"`{shown}` is not a duration: write a number and a unit (ms, s, m, h), such as `1h30m`.")
    microseconds = sum(Decimal(number) * _MICROSECONDS[unit] for number, unit in parts)
    if microseconds > _LONGEST // timedelta(microseconds=1):
        raise DurationInvalid(f"`{shown}` is longer than 292 years.")
    return timedelta(microseconds=int(microseconds))
