"""What must hold at every moment, in every order of events. One function a sentence; `ALL` is what is checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from django.db.models import F, Q

from integrations.models import Attempt, AttemptState, Webhook
from loops.models import Callback, Run, RunStatus, Step, StepStatus, SuspendedFor, Wait, WaitState
from tests.rules.world import World

NO_ROW = (AttemptState.REFUSED, AttemptState.NOT_SENT)
FINAL = (AttemptState.ACCEPTED, *NO_ROW, AttemptState.ABANDONED)


class Checker:
    """Checks a world again and again, and remembers what it saw the last time."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}  # attempt -> state
        # Who adds verbs by which a person, or a late answer, ends a doubt notes the attempt here.
        self.ended_otherwise: set[str] = set()

    def __call__(self, world: World) -> None:
        attempts = {attempt.pk: attempt for attempt in Attempt.objects.without_bodies()}
        self._doubts_end_only_by_their_exits(attempts)
        self._seen = {pk: attempt.state for pk, attempt in attempts.items()}
        for rule in ALL:
            rule(world, attempts)

    def _doubts_end_only_by_their_exits(self, attempts: dict[str, Attempt]) -> None:
        assert self._seen.keys() <= attempts.keys(), "an attempt vanished"
        for pk, before in self._seen.items():
            now = attempts[pk].state
            if now == before or before == AttemptState.SENDING or pk in self.ended_otherwise:
                continue
            assert before not in FINAL, f"{pk} was {before} and became {now}"
            called_back = Callback.objects.to_step(attempts[pk].step_id).exists()
            assert now == AttemptState.ACCEPTED, f"a doubt became {now} by itself"
            assert called_back, "a doubt ended without a callback, a person or an answer"


Attempts = dict[str, Attempt]


def rows_never_exceed_attempts(world: World, attempts: Attempts) -> None:
    arrived = Counter(row.attempt_id for row in world.clay.rows)
    assert arrived.keys() <= attempts.keys()
    assert all(count == 1 for count in arrived.values())
    for pk, attempt in attempts.items():
        if attempt.state == AttemptState.ACCEPTED:
            assert arrived[pk] == 1, "accepted, and there is no row"
        if attempt.state in NO_ROW:
            assert arrived[pk] == 0, f"{attempt.state}, and there is a row"


def no_row_arrives_twice(world: World, attempts: Attempts) -> None:
    same = Counter((row.url, row.request_id, str(row.body)) for row in world.clay.rows if row.request_id)
    assert all(count == 1 for count in same.values())
    for_step = Counter(row.step_id for row in world.clay.rows)
    assert all(count == 1 for count in for_step.values())


def a_key_has_one_active_run(world: World, attempts: Attempts) -> None:
    holders = Counter(Run.objects.active().exclude(idempotency_key="").values_list("idempotency_key", flat=True))
    assert all(count == 1 for count in holders.values())


def the_budget_is_exact_and_never_exceeded(world: World, attempts: Attempts) -> None:
    states = Counter((attempt.webhook_id, attempt.state) for attempt in attempts.values())
    for webhook in Webhook.objects.all():
        in_flight, accepted, in_doubt = (
            states[webhook.pk, state] for state in (AttemptState.SENDING, AttemptState.ACCEPTED, AttemptState.IN_DOUBT)
        )
        assert (webhook.used, webhook.in_flight) == (accepted + in_doubt, in_flight)
        assert webhook.submission_limit is None or webhook.used + webhook.in_flight <= webhook.submission_limit


def who_runs_has_a_row_on_the_wire(world: World, attempts: Attempts) -> None:
    """Between two turns a run is `running` only while its row is out: at rest nothing runs and nothing is in flight."""
    running = set(Run.objects.filter(status=RunStatus.RUNNING).values_list("pk", flat=True))
    sending = {attempt.run_id for attempt in attempts.values() if attempt.state == AttemptState.SENDING}
    if world.up:
        assert running <= sending
        assert bool(sending) == world.is_sending


def who_waits_will_be_woken(world: World, attempts: Attempts) -> None:
    suspended = Run.objects.filter(status=RunStatus.SUSPENDED)
    assert not suspended.filter(wake_at__isnull=False, ring_due_at=None).exists(), "nobody rings it"
    assert not Run.objects.filter(status=RunStatus.QUEUED, queue_reason="", ring_due_at=None).exists()
    in_doubt = [attempt.step_id for attempt in attempts.values() if attempt.state == AttemptState.IN_DOUBT]
    for run in suspended.filter(wake_at=None, waits_for=""):
        (step,) = run.steps.filter(status=StepStatus.SUSPENDED)
        doubted = step.error_type == SuspendedFor.DELIVERY_IN_DOUBT and step.pk in in_doubt
        assert doubted or step.waits.filter(state=WaitState.OPEN).exists(), f"nothing will wake {step.pk}"


def no_deadline_passes_unseen(world: World, attempts: Attempts) -> None:
    suspended = Run.objects.filter(status=RunStatus.SUSPENDED)
    late = Q(wake_at=None) | Q(wake_at__gt=F("wall_clock_deadline_at"))
    assert not suspended.filter(late, wall_clock_deadline_at__isnull=False).exists(), "of a run"
    steps = Step.objects.filter(status=StepStatus.SUSPENDED, run__status=RunStatus.SUSPENDED)
    late = Q(run__wake_at=None) | Q(run__wake_at__gt=F("deadline_at"))
    assert not steps.filter(late, deadline_at__isnull=False).exists(), "of a step"


def who_was_called_back_for_is_not_in_doubt(world: World, attempts: Attempts) -> None:
    in_doubt = [attempt.step_id for attempt in attempts.values() if attempt.state == AttemptState.IN_DOUBT]
    assert not Callback.objects.to_steps(in_doubt).exists()


def what_has_ended_leaves_nothing_open(world: World, attempts: Attempts) -> None:
    ended = Run.objects.exclude(status__in=RunStatus.active())
    unfinished = Step.objects.filter(status__in=[StepStatus.RUNNING, StepStatus.SUSPENDED], run__in=ended)
    assert not unfinished.exists()
    assert not Wait.objects.filter(state=WaitState.OPEN, run__in=ended).exists()
    assert not ended.filter(Q(completed_at=None) | ~Q(waits_for="")).exists()


ALL: tuple[Callable[[World, Attempts], None], ...] = (
    rows_never_exceed_attempts,
    no_row_arrives_twice,
    a_key_has_one_active_run,
    the_budget_is_exact_and_never_exceeded,
    who_runs_has_a_row_on_the_wire,
    who_waits_will_be_woken,
    no_deadline_passes_unseen,
    who_was_called_back_for_is_not_in_doubt,
    what_has_ended_leaves_nothing_open,
)
