"""The slot at Clay's pace and the unit of Clay's budget: both are taken in the transaction that commits `sending`.

Nothing is reserved ahead: whoever finds no slot takes nothing, and asks again when the sweep says that one is free.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.models import F
from django.db.models.functions import Greatest

from integrations.judging import LONGEST_RETRY_AFTER_SECONDS
from integrations.models import Pacer, Webhook
from mobius.engine.gathering import write_later
from mobius.prepared import execute


@dataclass(frozen=True, kw_only=True)
class Pace:
    """What a pacer allows: rows a second, and how many at once after a rest."""

    rate_per_second: float
    burst: int

    @property
    def interval_seconds(self) -> float:
        return 1 / self.rate_per_second

    @property
    def credit_seconds(self) -> float:
        """How far `tat` may lie behind: a whole burst but the row that is asked for."""
        return (self.burst - 1) * self.interval_seconds

    def slots(self, *, tat: float, now: float) -> int:
        """How many rows may leave at `now`."""
        if tat > now:
            return 0
        ahead = (now - max(tat, now - self.credit_seconds)) / self.interval_seconds
        return int(ahead + 1e-4) + 1  # seconds since 1970 have but six digits after the point


def pace(rate_per_second: float | None, burst: int) -> Pace | None:
    """None: unpaced."""
    return None if rate_per_second is None else Pace(rate_per_second=rate_per_second, burst=burst)


def pace_of(pacer: Pacer) -> Pace | None:
    return pace(pacer.rate_per_second, pacer.burst)


_TAKE_SLOT = """
    UPDATE integrations_pacer SET tat = CASE WHEN tat > %s THEN tat ELSE %s END + %s WHERE id = %s AND tat <= %s
"""


def take_slot(pacer_id: str, pace: Pace, *, now: float) -> bool:
    """Take one slot at `now` (seconds since 1970). One statement, so that no two takers get the same slot."""
    floor = now - pace.credit_seconds
    return bool(execute(_TAKE_SLOT, floor, floor, pace.interval_seconds, pacer_id, now))


def lock(pacer_id: str) -> None:
    """Hold the pacer from here on, where the database has row locks: everybody locks a pacer before a webhook."""
    if connection.features.has_select_for_update:
        Pacer.objects.select_for_update(no_key=True).filter(pk=pacer_id).values_list("pk").first()


def give_slot_back(pacer_id: str, pace: Pace) -> None:
    """Undo `take_slot` in the same transaction, when the row cannot go for another reason."""
    Pacer.objects.filter(pk=pacer_id).update(tat=F("tat") - pace.interval_seconds)


def room(pacer_id: str, *, now: float) -> int:
    """How many rows the group may send at `now`. A pacer that is gone or unpaced holds nobody back."""
    pacer = Pacer.objects.filter(pk=pacer_id).first()
    pace = pace_of(pacer) if pacer else None
    return pace.slots(tat=pacer.tat, now=now) if pacer and pace else 1_000_000


def hold(pacer_id: str, *, until: float) -> None:
    """Nobody of the group sends before `until` (seconds since 1970): Clay said 429."""
    Pacer.objects.filter(pk=pacer_id).update(tat=Greatest(F("tat"), until), held_until=Greatest(F("held_until"), until))


def pull_back(*, now: float) -> None:
    """Mend pacers whose `tat` lies further ahead than a hold or one interval explains: the clock stepped back.

    A hold itself is never longer than the longest `Retry-After` that counts.
    """
    for pacer in Pacer.objects.filter(tat__gt=now + 1, rate_per_second__gt=0):
        pace = pace_of(pacer)
        held_until = min(pacer.held_until, now + LONGEST_RETRY_AFTER_SECONDS)
        latest = max(held_until, now + (pace.interval_seconds if pace else 0))
        if pacer.tat > latest:
            Pacer.objects.filter(pk=pacer.pk, tat=pacer.tat).update(tat=latest, held_until=held_until)


# The webhook counts `in_flight` while a row is on the wire and `used` once it exists or may exist. The integration
# must be active in the very same statement, unless a test sends: a test is what resumes a paused integration.
TAKE_UNIT = """
    UPDATE integrations_webhook SET in_flight = in_flight + 1
    WHERE id = %s AND (state = 'current' OR (%s AND state = 'staged'))
      AND (submission_limit IS NULL OR used + in_flight < submission_limit)
      AND (%s OR EXISTS (SELECT 1 FROM integrations_integration
                         WHERE id = %s AND status = 'active'))
"""


def take_unit(webhook_id: str, integration_id: str, *, testing: bool) -> bool:
    """Take one of the webhook's submissions; False at the limit or when the integration is paused.

    A test may go through a paused integration, which it resumes, and to a staged webhook, which it makes ready.
    """
    return bool(execute(TAKE_UNIT, webhook_id, testing, testing, integration_id))


def give_unit_back(webhook_id: str) -> None:
    """Undo `take_unit` in the same transaction."""
    Webhook.objects.filter(pk=webhook_id).update(in_flight=F("in_flight") - 1)


_SETTLE_UNIT = """
    UPDATE integrations_webhook SET in_flight = in_flight - %s, used = used + %s,
        last_success_at = COALESCE(%s, last_success_at), last_failure_at = COALESCE(%s, last_failure_at),
        refusals_in_a_row = CASE WHEN %s = 1 THEN 0 ELSE refusals_in_a_row + %s END
    WHERE id = %s
"""


def settle_unit(
    webhook_id: str, *, was_in_flight: bool, counts: bool, accepted: bool, refuses: bool, now: datetime
) -> None:
    """Move a unit from `in_flight` to `used` when the row exists or may exist (`counts`), else free it.

    A unit that was not in flight any more was counted as in doubt, and is only taken out again if there is no row.
    """
    change = int(counts) if was_in_flight else int(counts) - 1
    moment = connection.ops.adapt_datetimefield_value(now)
    success, failure = (moment, None) if accepted else (None, moment)
    execute(_SETTLE_UNIT, int(was_in_flight), change, success, failure, int(accepted), int(refuses), webhook_id)


_USE_UNITS = """
    UPDATE integrations_webhook SET in_flight = in_flight - %s, used = used + %s, refusals_in_a_row = 0,
        last_success_at = %s
    WHERE id = %s
"""


def use_unit(webhook_id: str, *, now: datetime) -> None:
    """As `settle_unit` for a row on the wire that was accepted; with those of the others in this transaction, if they
    are gathered: what the webhook has left does not change by it."""
    if not write_later(_use_units, (webhook_id, now)):
        _use_units([(webhook_id, now)])


def _use_units(accepted: list[tuple[str, datetime]]) -> None:
    last = dict(sorted(accepted))  # in one order, since it locks
    rows = Counter(webhook_id for webhook_id, _ in accepted)
    for webhook_id, moment in last.items():
        used = rows[webhook_id]
        execute(_USE_UNITS, used, used, connection.ops.adapt_datetimefield_value(moment), webhook_id)
