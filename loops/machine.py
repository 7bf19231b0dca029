"""What comes next: pure transitions, without database, clock or network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from integrations.judging import Delivery
from integrations.models import AttemptState
from loops.models import StepStatus, SuspendedFor
from loops.spec import LoopSpec, Retry, StepSpec

LONGEST_BACK_OFF_SECONDS = 3600.0


def next_step(spec: LoopSpec, statuses: Mapping[str, StepStatus]) -> StepSpec | None:
    """The first step that is not behind us. None: the run is complete."""
    for step in spec.steps:
        if not statuses.get(step.key, StepStatus.PENDING).done:
            return step
    return None


@dataclass(frozen=True, kw_only=True)
class Completes:
    """The step has its output."""

    output: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Fails:
    """The step, and with it the run, has failed."""

    error_type: str
    error_message: str


@dataclass(frozen=True, kw_only=True)
class Waits:
    """The step goes on later: in so many seconds, or when somebody says how the doubt ends."""

    reason: SuspendedFor
    message: str
    after_seconds: float | None = None


def after_delivery(
    delivery: Delivery, *, retry: Retry, attempts: int, chance: float, deduplicated: bool = False
) -> Completes | Fails | Waits:
    """What an attempt's outcome makes of its step (design §4, second column to third).

    `attempts` counts this one; `chance` between 0 and 1 spreads the back-off. With `deduplicated` the table tells a
    repeated row, so that a row in doubt may be sent again.
    """
    if delivery.state == AttemptState.ACCEPTED:
        return Completes(output=delivery.output)
    in_doubt = delivery.state == AttemptState.IN_DOUBT
    if (delivery.may_retry or (in_doubt and deduplicated)) and attempts < retry.max_attempts:
        seconds = max(delivery.retry_after_seconds, back_off_seconds(retry, attempts, chance))
        return Waits(reason=SuspendedFor.RETRYING, message=delivery.error_message, after_seconds=seconds)
    if in_doubt and not delivery.answered:
        return Waits(reason=SuspendedFor.DELIVERY_IN_DOUBT, message=delivery.error_message)
    return Fails(error_type=delivery.error_type, error_message=delivery.error_message)


def back_off_seconds(retry: Retry, attempts: int, chance: float) -> float:
    """The step's delay, doubled with each attempt, with full jitter; at most an hour."""
    longest = min(retry.delay.total_seconds() * 2 ** (attempts - 1), LONGEST_BACK_OFF_SECONDS)
    return float(longest * chance)
