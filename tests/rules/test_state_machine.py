"""Runs, attempts and callbacks in any order of events that Hypothesis thinks of: what is promised holds after each.

A new verb is a method of `World` and a line in `meanwhile` here; a new promise is a function in `invariants.py`.
"""

from __future__ import annotations

import sys

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from integrations.settling import Decision
from loops.models import Run, RunStatus, Step, StepStatus, SuspendedFor
from tests.rules.invariants import Checker
from tests.rules.wire import ANSWERS
from tests.rules.world import LOOPS, Fate, Happening, Post, Table, World

# Always the same orders of events. One that fails is not shortened, for that takes minutes: the long profile does it.
IN_CI = settings(derandomize=True, max_examples=60, stateful_step_count=20, phases=[Phase.explicit, Phase.generate])

picks = st.integers(0, 9)
answers = st.sampled_from(["accepted"] * 5 + sorted(ANSWERS))
doors = st.sampled_from(["address", "request_id"])
bodies = st.sampled_from([{"final": True, "score": 1}, {"final": True, "score": 2}, {"final": False}, {}])
rarely = st.sampled_from([False, False, False, True])
tables = st.builds(Table, st.sampled_from([None, None, None, 2, 4]), rarely, rarely, st.booleans())
kinds = st.sampled_from(["the same row", "the same row", *sorted(LOOPS)])
starts = st.tuples(st.just("start"), kinds, st.sampled_from([1, 1, 2]), st.sampled_from(["", "", "a", "b"]))
some_starts = st.lists(starts, min_size=1, max_size=3)
seconds = st.sampled_from([1, 31, 61, 600, 7200])
changes: st.SearchStrategy[Happening] = st.one_of(
    st.sampled_from([("pause",), ("resume",), ("resume",), ("reconnect", "one"), ("reconnect", "two")])
)
call_backs = st.tuples(st.just("call_back"), picks, doors, bodies)
meanwhile: st.SearchStrategy[Happening] = st.one_of(
    call_backs,
    st.tuples(st.just("ring"), picks, st.builds(Post, answers)),
    starts,
    st.tuples(st.just("pass_time"), st.sampled_from([1, 15])),
    st.just(("sweep",)),
    st.tuples(st.just("settle"), picks, st.sampled_from([Decision.SEND_AGAIN, Decision.GIVE_UP])),
    st.tuples(st.sampled_from(["cancel", "retry"]), picks),
    changes,
)
posts = st.builds(Post, answers, st.lists(st.one_of(call_backs, meanwhile), max_size=3).map(tuple))
journeys = st.lists(posts, min_size=1, max_size=3)  # what the POSTs of one worker meet, one after the other

fates = st.one_of(
    st.just(Fate()),
    st.builds(Fate, dies_in=st.integers(0, 6)),
    st.builds(Fate, closes_in=st.integers(0, 2)),
)
works = st.tuples(st.just("work"), picks, journeys, fates)
starts_and_works = st.tuples(st.just("start_and_work"), starts, journeys, fates)
times = st.tuples(st.just("let_time_pass"), seconds)
# One rule for all that happens: Hypothesis leaves rules out of whole examples, and without starts nothing happens.
events: st.SearchStrategy[Happening] = st.sampled_from(
    [
        starts_and_works,
        starts_and_works,
        starts_and_works,
        works,
        works,
        starts,
        call_backs,
        meanwhile,
        meanwhile,
        times,
    ]
).flatmap(lambda kind: kind)


class AnyOrderOfEvents(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.check = Checker()
        self.world = World(self.check)

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:  # no event of this order has failed
                self.all_troubles_end()
        finally:
            self.world.end()

    def all_troubles_end(self) -> None:
        """Whatever happened: once the process is up, the table takes rows and time passes, nothing is stuck."""
        self.world.come_to_rest()
        self.check(self.world)
        for step in Step.objects.filter(status=StepStatus.SUSPENDED):
            assert step.error_type in (SuspendedFor.DELIVERY_IN_DOUBT, SuspendedFor.SAME_ROW, SuspendedFor.AT_LIMIT)
        assert not Run.objects.filter(status__in=[RunStatus.QUEUED, RunStatus.RUNNING]).exists()

    @initialize(
        table=tables,
        first=some_starts,
    )
    def a_table_is_connected(self, table: Table, first: list[Happening]) -> None:
        self.world.connect_first(table)
        for start in first:
            self.world.do(start)

    @precondition(lambda self: self.world.up)
    @rule(event=events)
    def something_happens(self, event: Happening) -> None:
        self.world.do(event)

    @precondition(lambda self: not self.world.up)
    @rule(seconds=seconds)
    def it_is_started_again(self, seconds: int) -> None:
        self.world.pass_time(seconds)
        self.world.restart()

    @invariant()
    def all_promises_hold(self) -> None:
        self.check(self.world)


@pytest.mark.django_db
def test_all_promises_hold_in_any_order_of_events(request: pytest.FixtureRequest) -> None:
    profile = request.config.getoption("--hypothesis-profile", default=None)
    chosen = settings.get_profile(profile) if profile else IN_CI
    patient = settings(chosen, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(AnyOrderOfEvents, settings=patient)
