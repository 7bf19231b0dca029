"""What must hold at every moment, in every order of events. One function a sentence; `ALL` is what is checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from integrations.models import Attempt, AttemptState, Webhook
from loops.models import Callback, Run, RunStatus, Step, StepStatus, SuspendedFor, Wait, WaitState
from mobius import clock
from tests.rules.wire import ArrivedRow
from tests.rules.world import World

NO_ROW = (AttemptState.REFUSED, AttemptState.NOT_SENT)
FINAL = (AttemptState.ACCEPTED, *NO_ROW, AttemptState.ABANDONED)
UNFINISHED = (StepStatus.RUNNING, StepStatus.SUSPENDED)


class Picture:
    """Everything there is, read at one moment."""

    def __init__(self, world: World) -> None:
        self.now = clock.now()
        self.up = world.up
        self.never_twice = world.table.never_twice
        self.settled = world.settled
        self.is_sending = world.is_sending
        self.rows: list[ArrivedRow] = world.clay.rows
        self.attempts = {attempt.pk: attempt for attempt in Attempt.objects.all()}
        self.webhooks = list(Webhook.objects.all())
        self.runs = {run.pk: run for run in Run.objects.all()}
        self.steps = {step.pk: step for step in Step.objects.all()}
        self.open_waits = set(Wait.objects.filter(state=WaitState.OPEN).values_list("step_id", flat=True))
        self.called_back_for = set(Callback.objects.values_list("step_id", flat=True))

    def runs_in(self, status: RunStatus) -> list[Run]:
        return [run for run in self.runs.values() if run.status == status]

    def attempts_in(self, state: AttemptState) -> list[Attempt]:
        return [attempt for attempt in self.attempts.values() if attempt.state == state]

    def suspended_step_of(self, run: Run) -> Step | None:
        of_run = [step for step in self.steps.values() if step.run_id == run.pk and step.status == StepStatus.SUSPENDED]
        assert len(of_run) <= 1
        return of_run[0] if of_run else None


class Checker:
    """Checks a world again and again, and remembers what it saw the last time."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}  # attempt -> state

    def __call__(self, world: World) -> None:
        picture = Picture(world)
        self._doubts_end_only_by_their_exits(picture)
        self._seen = {pk: attempt.state for pk, attempt in picture.attempts.items()}
        for rule in ALL:
            rule(picture)

    def _doubts_end_only_by_their_exits(self, picture: Picture) -> None:
        assert self._seen.keys() <= picture.attempts.keys(), "an attempt vanished"
        for pk, before in self._seen.items():
            attempt = picture.attempts[pk]
            if attempt.state == before or before == AttemptState.SENDING or pk in picture.settled:
                continue
            assert before not in FINAL, f"{pk} was {before} and became {attempt.state}"
            assert attempt.state == AttemptState.ACCEPTED, f"a doubt became {attempt.state} by itself"
            assert attempt.step_id in picture.called_back_for, "a doubt ended without callback, person or answer"


def rows_never_exceed_attempts(picture: Picture) -> None:
    arrived = Counter(row.attempt_id for row in picture.rows)
    assert arrived.keys() <= picture.attempts.keys()
    assert all(count == 1 for count in arrived.values())
    for pk, attempt in picture.attempts.items():
        if attempt.state == AttemptState.ACCEPTED:
            assert arrived[pk] == 1, "accepted, and there is no row"
        if attempt.state in NO_ROW:
            assert arrived[pk] == 0, f"{attempt.state}, and there is a row"


def no_row_arrives_twice(picture: Picture) -> None:
    same = Counter((row.url, row.request_id, str(row.body)) for row in picture.rows if row.request_id)
    assert not picture.never_twice or all(count == 1 for count in same.values())
    of_step = Counter(row.step_id for row in picture.rows)
    assert all(count == 1 for count in of_step.values())


def a_key_has_one_active_run(picture: Picture) -> None:
    holders = Counter(run.idempotency_key for run in picture.runs.values() if run.idempotency_key and not run.has_ended)
    assert all(count == 1 for count in holders.values())


def the_budget_is_exact_and_never_exceeded(picture: Picture) -> None:
    states = Counter((attempt.webhook_id, attempt.state) for attempt in picture.attempts.values())
    for webhook in picture.webhooks:
        in_flight, accepted, in_doubt = (
            states[webhook.pk, state] for state in (AttemptState.SENDING, AttemptState.ACCEPTED, AttemptState.IN_DOUBT)
        )
        assert (webhook.used, webhook.in_flight) == (accepted + in_doubt, in_flight)
        assert webhook.submission_limit is None or webhook.used + webhook.in_flight <= webhook.submission_limit


def who_runs_has_a_row_on_the_wire(picture: Picture) -> None:
    """Between two turns a run is `running` only while its row is out: at rest nothing runs and nothing is in flight."""
    sending = {attempt.run_id for attempt in picture.attempts_in(AttemptState.SENDING)}
    if picture.up:
        assert {run.pk for run in picture.runs_in(RunStatus.RUNNING)} <= sending
        assert bool(sending) == picture.is_sending


def who_waits_will_be_woken(picture: Picture) -> None:
    assert all(run.ring_due_at for run in picture.runs_in(RunStatus.QUEUED) if not run.queue_reason)
    in_doubt = {attempt.step_id for attempt in picture.attempts_in(AttemptState.IN_DOUBT)}
    for run in picture.runs_in(RunStatus.SUSPENDED):
        if run.wake_at is not None:
            assert run.ring_due_at is not None, "nobody rings it"
        elif not run.waits_for:
            step = picture.suspended_step_of(run)
            assert step is not None
            doubted = step.error_type == SuspendedFor.DELIVERY_IN_DOUBT and step.pk in in_doubt
            assert doubted or step.pk in picture.open_waits, f"nothing will wake {step.pk}"


def no_deadline_passes_unseen(picture: Picture) -> None:
    for run in picture.runs_in(RunStatus.SUSPENDED):
        step = picture.suspended_step_of(run)
        for deadline in (run.wall_clock_deadline_at, step.deadline_at if step else None):
            assert deadline is None or (run.wake_at is not None and run.wake_at <= max(deadline, picture.now))


def who_was_called_back_for_is_not_in_doubt(picture: Picture) -> None:
    assert not {attempt.step_id for attempt in picture.attempts_in(AttemptState.IN_DOUBT)} & picture.called_back_for


def what_has_ended_leaves_nothing_open(picture: Picture) -> None:
    for step in picture.steps.values():
        if picture.runs[step.run_id].has_ended:
            assert step.status not in UNFINISHED
        if step.status not in UNFINISHED:
            assert step.pk not in picture.open_waits
    for run in picture.runs.values():
        assert not run.has_ended or (run.completed_at and not run.waits_for and not run.ring_due_at)


ALL: tuple[Callable[[Picture], None], ...] = (
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
