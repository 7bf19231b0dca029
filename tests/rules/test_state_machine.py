"""Runs, attempts and callbacks in any order of events that Hypothesis thinks of: what is promised holds after each.

A new verb is a method of `World` and a rule here; a new promise is a function in `invariants.py`.
"""

from __future__ import annotations

import sys

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from loops.models import Run, RunStatus, Step, StepStatus, SuspendedFor
from tests.rules.invariants import Checker
from tests.rules.wire import ANSWERS
from tests.rules.world import LOOPS, Happening, Post, World

# Always the same orders of events. One that fails is not made shorter, for that takes minutes: the long profile does it.
IN_CI = settings(
    derandomize=True, max_examples=25, stateful_step_count=25, phases=[Phase.explicit, Phase.generate]
)

picks = st.integers(0, 9)
answers = st.one_of(st.just("accepted"), st.sampled_from(sorted(ANSWERS)))
doors = st.sampled_from(["address", "request_id"])
bodies = st.sampled_from([{"final": True, "score": 1}, {"final": True, "score": 2}, {"final": False}, {}])
tables = st.sampled_from(["one", "two"])
starts = st.tuples(
    st.just("start"), st.sampled_from(sorted(LOOPS)), st.integers(1, 2), st.sampled_from(["", "", "a", "b"])
)
meanwhile: st.SearchStrategy[Happening] = st.one_of(
    st.tuples(st.just("call_back"), picks, doors, bodies),
    st.tuples(st.just("ring"), picks, st.builds(Post, answers)),
    starts,
    st.tuples(st.just("pass_time"), st.sampled_from([1, 15])),
    st.sampled_from([("pause",), ("resume",), ("sweep",)]),
    st.tuples(st.just("reconnect"), tables),
)
posts = st.builds(Post, answers, st.lists(meanwhile, max_size=3).map(tuple))


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

    @initialize(limit=st.sampled_from([None, 3, 6]), paced=st.booleans(), wait_at_limit=st.booleans())
    def connect(self, limit: int | None, paced: bool, wait_at_limit: bool) -> None:
        self.world.connect_first(limit=limit, paced=paced, wait_at_limit=wait_at_limit)

    @precondition(lambda self: self.world.up)
    @rule(start=starts)
    def somebody_starts_a_run(self, start: Happening) -> None:
        self.world.start(*start[1:])

    @precondition(lambda self: self.world.up)
    @rule(pick=picks, posts=st.lists(posts, max_size=3))
    def a_worker_takes_a_run(self, pick: int, posts: list[Post]) -> None:
        self.world.work(pick, posts)

    @precondition(lambda self: self.world.up)
    @rule(pick=picks, posts=st.lists(posts, max_size=3), dies_in=st.integers(0, 12))
    def the_process_dies_at_work(self, pick: int, posts: list[Post], dies_in: int) -> None:
        self.world.work(pick, posts, dies_in=dies_in)

    @precondition(lambda self: self.world.up)
    @rule(pick=picks, posts=st.lists(posts, max_size=2), closes_in=st.integers(0, 3))
    def the_process_closes_in_order(self, pick: int, posts: list[Post], closes_in: int) -> None:
        self.world.work(pick, posts, closes_in=closes_in)
        self.world.restart()

    @precondition(lambda self: self.world.up)
    @rule(pick=picks, post=posts)
    def somebody_rings_for_any_run(self, pick: int, post: Post) -> None:
        self.world.ring(pick, post)

    @precondition(lambda self: not self.world.up)
    @rule()
    def it_is_started_again(self) -> None:
        self.world.restart()

    @rule(seconds=st.sampled_from([1, 31, 61, 600, 7200]))
    def time_passes(self, seconds: int) -> None:
        self.world.pass_time(seconds)

    @precondition(lambda self: self.world.up)
    @rule()
    def the_sweep_comes_round(self) -> None:
        self.world.sweep()

    @precondition(lambda self: self.world.up)
    @rule(pick=picks, door=doors, body=bodies)
    def clay_calls_back(self, pick: int, door: str, body: dict[str, object]) -> None:
        self.world.call_back(pick, door, body)

    @precondition(lambda self: self.world.up)
    @rule()
    def somebody_calls_back_for_nothing(self) -> None:
        self.world.call_back_for_nothing()

    @precondition(lambda self: self.world.up)
    @rule()
    def somebody_pauses(self) -> None:
        self.world.pause()

    @precondition(lambda self: self.world.up)
    @rule()
    def somebody_resumes(self) -> None:
        self.world.resume()

    @precondition(lambda self: self.world.up)
    @rule(table=tables)
    def somebody_connects_a_table(self, table: str) -> None:
        self.world.reconnect(table)

    @invariant()
    def all_promises_hold(self) -> None:
        self.check(self.world)


@pytest.mark.django_db
def test_all_promises_hold_in_any_order_of_events(request: pytest.FixtureRequest) -> None:
    profile = request.config.getoption("--hypothesis-profile", default=None)
    chosen = settings.get_profile(profile) if profile else IN_CI
    patient = settings(chosen, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(AnyOrderOfEvents, settings=patient)
