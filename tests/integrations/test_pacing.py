"""Pace: never more than the burst and the rate allow in any stretch of time, alone and in the database."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrations import pacing
from integrations.models import Integration, IntegrationStatus, Pacer, Webhook, WebhookState
from integrations.pacing import Pace
from mobius.projects.models import Project

NOW = 1_800_000_000.0
CLAY = Pace(rate_per_second=9.9, burst=18)

paces = st.builds(Pace, rate_per_second=st.floats(0.5, 100), burst=st.integers(1, 50))
pauses = st.lists(st.floats(0, 3) | st.just(0.0), min_size=1, max_size=200)


class Taker:
    """The statement of `take_slot`, in Python."""

    def __init__(self, pace: Pace, tat: float = 0.0) -> None:
        self.pace, self.tat = pace, tat

    def take(self, now: float) -> bool:
        if self.tat > now:
            return False
        self.tat = max(self.tat, now - self.pace.credit_seconds) + self.pace.interval_seconds
        return True


def most_in(moments: list[float], seconds: float) -> int:
    """The most that left in any stretch of so many seconds."""
    return max((sum(start <= moment <= start + seconds for moment in moments) for start in moments), default=0)


# --- pure ---


@given(paces, pauses, st.floats(0.01, 5))
def test_no_stretch_of_time_sees_more_than_the_burst_and_the_rate(
    pace: Pace, waits: list[float], seconds: float
) -> None:
    taker, now, left = Taker(pace), NOW, []
    for pause in waits:
        now += pause
        if taker.take(now):
            left.append(now)

    assert most_in(left, seconds) <= pace.burst + pace.rate_per_second * seconds + 1e-3


@given(paces, st.floats(0, 10))
def test_as_many_slots_are_told_as_can_be_taken(pace: Pace, behind: float) -> None:
    taker = Taker(pace, NOW - behind)
    told = pace.slots(tat=taker.tat, now=NOW)

    taken = 0
    while taker.take(NOW):
        taken += 1

    assert abs(taken - told) <= 1, "at the edge of a slot, rounding decides"
    assert taken <= pace.burst + 1


def test_after_a_rest_a_burst_may_leave_and_then_one_by_one() -> None:
    taker = Taker(CLAY)

    assert sum(taker.take(NOW) for _ in range(100)) == 18
    assert not taker.take(NOW + 0.1)
    assert taker.take(NOW + 0.102)
    assert not taker.take(NOW + 0.102)


def test_the_design_s_figures_are_those_of_clay_s_pace() -> None:
    assert CLAY.interval_seconds == pytest.approx(0.101, abs=0.0001)
    assert CLAY.credit_seconds == pytest.approx(1.717, abs=0.001)
    assert CLAY.slots(tat=0, now=NOW) == 18
    assert CLAY.slots(tat=NOW + 0.001, now=NOW) == 0


# --- in the database ---


@pytest.fixture
def pacer(project: Project) -> Pacer:
    return Pacer.objects.create(project=project, label="default", rate_per_second=9.9, burst=18)


def take(pacer: Pacer, now: float, pace: Pace = CLAY) -> bool:
    return pacing.take_slot(pacer.pk, pace, now=now)


def test_the_statement_takes_what_the_formula_allows(pacer: Pacer) -> None:
    taker = Taker(CLAY)

    for number in range(200):
        now = NOW + number * 0.037
        assert take(pacer, now) == taker.take(now)

    assert Pacer.objects.get().tat == pytest.approx(taker.tat, abs=1e-5)


@settings(max_examples=50)
@given(waits=st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_the_rate_holds_for_the_statement_itself(waits: list[float]) -> None:
    pace, now, left = Pace(rate_per_second=5, burst=3), NOW, []
    statement = pacing._TAKE_SLOT.replace("%s", "?")
    with closing(sqlite3.connect(":memory:")) as memory:
        memory.execute("CREATE TABLE integrations_pacer (id TEXT, tat REAL)")
        memory.execute("INSERT INTO integrations_pacer VALUES ('p', 0)")
        for pause in waits:
            now += pause
            floor = now - pace.credit_seconds
            if memory.execute(statement, [floor, floor, pace.interval_seconds, "p", now]).rowcount:
                left.append(now)

    for seconds in (0.1, 1.0, 3.0):
        assert most_in(left, seconds) <= pace.burst + pace.rate_per_second * seconds + 1e-3


def test_a_slot_given_back_may_be_taken_again(pacer: Pacer) -> None:
    for _ in range(18):
        assert take(pacer, NOW)
    assert not take(pacer, NOW)

    pacing.give_slot_back(pacer.pk, CLAY)

    assert take(pacer, NOW)
    assert not take(pacer, NOW)


def test_pacers_do_not_share_slots(pacer: Pacer, project: Project) -> None:
    other = Pacer.objects.create(project=project, label="other", rate_per_second=9.9)
    while take(pacer, NOW):
        pass

    assert take(other, NOW)


def test_a_hold_stops_everybody_until_it_is_over(pacer: Pacer) -> None:
    pacing.hold(pacer.pk, until=NOW + 5)

    assert not take(pacer, NOW + 4.9)
    assert pacing.room(pacer.pk, now=NOW + 4.9) == 0
    assert take(pacer, NOW + 5)


def test_a_shorter_hold_does_not_end_a_longer_one(pacer: Pacer) -> None:
    pacing.hold(pacer.pk, until=NOW + 60)
    pacing.hold(pacer.pk, until=NOW + 1)

    assert not take(pacer, NOW + 59)


def test_a_clock_that_stepped_back_is_mended(pacer: Pacer) -> None:
    while take(pacer, NOW + 3600):
        pass

    pacing.pull_back(now=NOW)

    assert take(pacer, NOW + 0.2)


def test_a_hold_that_a_stepped_clock_made_longer_than_any_is_mended(pacer: Pacer) -> None:
    pacing.hold(pacer.pk, until=NOW + 24 * 3600)

    pacing.pull_back(now=NOW)

    pacer.refresh_from_db()
    assert pacer.tat == pacer.held_until == NOW + 3600
    assert take(pacer, NOW + 3600)


def test_after_a_hold_rows_leave_one_by_one(pacer: Pacer) -> None:
    pacing.hold(pacer.pk, until=NOW + 5)

    assert [take(pacer, NOW + 5), take(pacer, NOW + 5)] == [True, False], "a hold is not followed by a burst"


def test_a_rest_of_any_length_gives_one_burst(pacer: Pacer) -> None:
    assert take(pacer, NOW)

    for rest in (30, 3600, 10**6):
        pacer.refresh_from_db()
        now = pacer.tat + rest
        assert pacing.room(pacer.pk, now=now) == 18
        assert sum(take(pacer, now) for _ in range(40)) == 18


def test_a_hold_is_not_mended_away(pacer: Pacer) -> None:
    pacing.hold(pacer.pk, until=NOW + 60)

    pacing.pull_back(now=NOW)

    assert not take(pacer, NOW + 59)


@pytest.mark.parametrize("known", [True, False])
def test_an_unpaced_or_unknown_pacer_holds_nobody_back(project: Project, known: bool) -> None:
    pacer = Pacer.objects.create(project=project, label="free", rate_per_second=None)

    assert pacing.pace_of(pacer) is None
    assert pacing.room(pacer.pk if known else "pac_nonexistent", now=NOW) > 1000


# --- units ---


@pytest.fixture
def webhook(integration: Integration) -> Webhook:
    return Webhook.objects.get()


def take_unit(webhook: Webhook, *, testing: bool = False) -> bool:
    integration = Integration.objects.get()
    return pacing.take_unit(webhook.pk, integration.pk, testing=testing)


@pytest.mark.parametrize(
    ("limit", "used", "in_flight", "granted"),
    [
        (10, 9, 0, True),
        (10, 10, 0, False),
        (10, 8, 2, False),
        (10, 8, 1, True),
        (None, 10**9, 5, True),
        (1, 0, 0, True),
    ],
)
def test_a_unit_is_granted_below_the_limit(
    webhook: Webhook, limit: int | None, used: int, in_flight: int, granted: bool
) -> None:
    Webhook.objects.update(submission_limit=limit, used=used, in_flight=in_flight)

    assert take_unit(webhook) is granted
    assert Webhook.objects.get().in_flight == in_flight + granted


def test_units_run_out_exactly_at_the_limit(webhook: Webhook) -> None:
    Webhook.objects.update(submission_limit=7)

    assert sum(take_unit(webhook) for _ in range(20)) == 7


def test_a_unit_given_back_may_be_taken_again(webhook: Webhook) -> None:
    Webhook.objects.update(submission_limit=1)
    assert take_unit(webhook)

    pacing.give_unit_back(webhook.pk)

    assert take_unit(webhook)


@pytest.mark.parametrize("status", [IntegrationStatus.INACTIVE, IntegrationStatus.EXPIRED])
def test_an_integration_that_is_not_active_gives_units_to_tests_only(webhook: Webhook, status: str) -> None:
    Integration.objects.update(status=status)

    assert not take_unit(webhook)
    assert take_unit(webhook, testing=True)


@pytest.mark.parametrize("state", [WebhookState.STAGED, WebhookState.RETIRED])
def test_only_the_current_webhook_gives_units(webhook: Webhook, state: str) -> None:
    Webhook.objects.update(state=state)

    assert not take_unit(webhook)
