"""Taking a run as far as it goes.

A worker reads the run, decides in memory (`loops.turn`), and writes in one transaction. Only then, with no transaction
open, does a row go out; what became of it is written in the next transaction, which also begins the next step.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from django.db import DatabaseError, transaction
from django.db.models import Q

from integrations import delivering
from integrations.delivering import Sending
from integrations.providers.contract import Exchange, Failure
from loops.acting import Sent, record_alone
from loops.changes import Overtaken
from loops.due import lock_due, put_off, take, take_due
from loops.models import Run, RunStatus, Step
from loops.playing import play_turn
from loops.turn import Turn
from loops.versions import spec_of
from mobius import clock
from mobius.engine import embedded, liveness
from mobius.engine.crowd import together, wait_no_more, was_in_the_way
from mobius.engine.doorbell import Work
from mobius.engine.gathering import gathering
from mobius.engine.trouble import is_passing, wait_a_moment
from mobius.prepared import Select

logger = logging.getLogger(__name__)
Played = tuple[Turn, Sending | None]
"""A turn, and the row that is to go out after it."""


def advance(run_id: str, go_on: Callable[[], bool] = lambda: True) -> None:
    """Take the run if it is ready, and carry it on until it ends, rests, or `go_on` says that we are closing.

    Does nothing for a run that is not ready, or that another worker takes first.
    """
    _RunInHand(run_id).carry_on(go_on)


def begin(run: Run) -> bool:
    """Insert `run` with its first turn played, if a worker of this process is free to carry it on.

    It is handed over when the transaction commits: one commit and one change of threads less until its row leaves.
    False: nothing was done. Raises IntegrityError when the run's idempotency key is taken.
    """
    place = embedded.keep_place()
    if place is None:
        return False
    turn = Turn(_copy(run), spec_of(run.loop_version_id), {}, now=clock.now(), new=True)
    played = turn, play_turn(turn, None, lambda: True)
    if _leaves_work(played):
        embedded.hand_over(place, run.pk, _RunInHand(run.pk, played=played).carry_on)
    return True


def pass_on(run: Run) -> bool:
    """Let a worker of this process take `run`, which the caller inserts: as it is, without reading it again.

    False: it is to be rung, for there is none, or too much waits already.
    """
    return embedded.pass_on(run.pk, _RunInHand(run.pk, fresh=_copy(run)).carry_on)


def begin_all(run_ids: list[str], go_on: Callable[[], bool], due: int = 0) -> dict[str, Work]:
    """Take those of the runs that are ready, and as many as `due` whose time has come, and play the next turn of each,
    in one transaction; what is then left to do for each. When that fails, each is to be advanced by itself, and it
    shows whose fault it was. Raises what the database raises when it does not answer."""
    begun = _Begun()
    try:
        together(partial(_begin, run_ids, due, go_on, begun), working=True, light=True)
    except Exception as error:
        perhaps = _Begun() if was_in_the_way(error) else begun
        known = (*run_ids, *perhaps.played, *perhaps.taken)
        one_by_one = (*known, *_due_one_by_one(due, or_none=known != tuple(run_ids)))
        return {run_id: _RunInHand(run_id, perhaps=perhaps.played.get(run_id)).carry_on for run_id in one_by_one}
    works: dict[str, Work] = {
        run_id: _RunInHand(run_id, played=decided).carry_on
        for run_id, decided in begun.played.items()
        if _leaves_work(decided)
    }
    return works | {run_id: _RunInHand(run_id).carry_on for run_id in begun.taken}


@dataclass
class _Begun:
    """What one transaction has done, told when all of it is done: empty unless the commit itself fails."""

    played: dict[str, Played] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)
    """Governed runs that were due, and no more than taken: everybody locks their loop before them, and here they were
    locked already."""


def _due_one_by_one(most: int, *, or_none: bool) -> list[str]:
    """Raises what the database raises when it does not answer, unless there is other work, which must not be lost."""
    try:
        return take_due(most)
    except DatabaseError:
        if or_none:
            return []
        raise


def _begin(run_ids: list[str], due: int, go_on: Callable[[], bool], begun: _Begun) -> None:
    ready = {run.pk: run for run in _by_id.of_any(run_ids) if _is_ready(run)}
    taken: list[str] = []
    if due:
        locked = {run.pk: run for run in lock_due(due)}
        ready_now = {run_id: run for run_id, run in locked.items() if _is_ready(run)}
        put_off(locked.keys() - ready_now.keys())
        taken = [run_id for run_id, run in ready_now.items() if run.governed]
        take(taken)
        ready = {run_id: run for run_id, run in (ready | ready_now).items() if run_id not in taken}
        if locked:  # for those that are taken somebody may wait who holds what we want
            wait_no_more(but_milliseconds=10 if taken else 200)
    steps: defaultdict[str, dict[str, Step]] = defaultdict(dict)
    for step in _steps_of.of_any([run.pk for run in ready.values() if run.started_at]):
        steps[step.run_id][step.key] = step
    played: dict[str, Played] = {}
    with gathering():
        for run_id, run in ready.items():  # in the order in which they were rung, or due
            if len(played) == 1:
                wait_no_more()
            turn = Turn(run, spec_of(run.loop_version_id), steps[run_id], now=clock.now())
            played[run_id] = turn, play_turn(turn, None, go_on)
    begun.played, begun.taken = played, taken


def _copy(run: Run) -> Run:
    """For the worker, who changes it while the caller still shows his own."""
    copied = Run.__new__(Run)
    copied.__dict__.update(run.__dict__)
    return copied


class _RunInHand:
    """A run that this worker carries on, and what it knows of it from one commit to the next.

    `played` is written already; else the run is to be taken: it is `fresh`, as it was inserted, or else it is read.
    `perhaps` it was taken before: the database did not answer when that was committed.
    """

    def __init__(
        self, run_id: str, *, played: Played | None = None, fresh: Run | None = None, perhaps: Played | None = None
    ) -> None:
        self._run_id = run_id
        self._played = played
        self._fresh = fresh
        self._perhaps = perhaps
        self._tried: Played | None = None  # what is being committed
        self._claim: int | None = None  # ours, once the first turn is written
        self._sent: Sent | None = None

    def carry_on(self, go_on: Callable[[], bool]) -> None:
        """Until it ends, rests, or is somebody else's, or `go_on` says that we are closing."""
        turn = self._take_up(self._played) if self._played is not None else None
        while (played := self._next_written(turn, go_on)) is not None:
            if not _leaves_work(played):
                return
            turn = self._take_up(played)
        if self._sent is not None:
            record_alone(self._sent, go_on)

    def _take_up(self, played: Played) -> Turn:
        """What was decided is written: now its row may go out."""
        turn, sending = played
        self._claim = turn.run.claim
        self._sent = _send(sending, liveness.Permit(turn.run.worker)) if sending is not None else None
        return turn

    def _next_written(self, turn: Turn | None, go_on: Callable[[], bool]) -> Played | None:
        """The turn after this one, once it is committed. None: the run is not ours to go on with."""
        alone = overtaken = False
        while True:
            self._tried = None
            try:
                played = together(partial(self._next, turn, go_on), working=True, light=True, alone=alone)
                self._perhaps = None
                return played
            except Overtaken:
                if self._claim is None and self._perhaps is None:
                    return None  # taken by another worker, or changed by somebody who rings again
                if overtaken:  # not by ourselves: what we ask about would be there by now
                    self._perhaps = None
                turn, overtaken = None, True
            except Exception as error:
                if not is_passing(error):
                    # A fault of ours. What went over the wire is written all the same, and the run does not hang.
                    _give_up(self._run_id, self._claim, self._sent, go_on)
                    raise
                turn = None  # what came of the row is kept here until it can be written
                if was_in_the_way(error) and not alone:
                    alone = True
                    continue
                self._perhaps = self._tried or self._perhaps
                if (self._claim is None and self._perhaps is None) or not go_on():
                    raise  # nothing of ours is lost: the database holds the run as it was
                logger.warning("run %s cannot be written just now; trying again: %s", self._run_id, error)
                wait_a_moment()

    def _next(self, before: Turn | None, go_on: Callable[[], bool]) -> Played | None:
        """Play the next turn in the caller's transaction, or find the one that was written before.

        What `before` left behind is what the database holds, as long as nobody overtakes us; else the run is read.
        """
        if self._perhaps is not None:
            if _is_written(*self._perhaps):
                return self._perhaps
            if self._sent is not None and not delivering.is_on_the_wire(self._sent.sending.parcel.attempt_id):
                self._sent = None  # it was written, and somebody else has changed the run since
        if before is not None:
            run, steps = before.run, before.steps
        else:
            found = self._taken() or self._read()
            if found is None:
                return None
            run, steps = found, {step.key: step for step in _steps_of(found.pk)} if found.started_at else {}
        turn = Turn(run, spec_of(run.loop_version_id), steps, now=clock.now())
        self._tried = turn, play_turn(turn, self._sent, go_on)
        return self._tried

    def _taken(self) -> Run | None:
        """The run as it was inserted, once: whatever comes of it, it is written or read from then on."""
        fresh, self._fresh = self._fresh, None
        return fresh

    def _read(self) -> Run | None:
        if self._claim is None:
            return _ready(self._run_id)
        return Run.objects.filter(pk=self._run_id, claim=self._claim, status=RunStatus.RUNNING).first()


def _leaves_work(played: Played) -> bool:
    turn, sending = played
    return sending is not None or turn.goes_on


def _is_written(turn: Turn, sending: Sending | None) -> bool:
    """Does the database hold what was decided? Told by what nobody else writes: another may take the run, or change
    it, and leave the same guards behind."""
    if sending is not None:
        return delivering.is_on_the_wire(sending.parcel.attempt_id)
    run = turn.run
    ours = Run.objects.filter(pk=run.pk, claim=run.claim, revision=run.revision, worker=run.worker)
    return ours.filter(updated_at=run.updated_at).exists()


_by_id = Select(lambda run: Run.objects.filter(pk=run))
_steps_of = Select(lambda run: Step.objects.filter(run=run))


def _ready(run_id: str) -> Run | None:
    run = _by_id.first(run_id)
    return run if run is not None and _is_ready(run) else None


def _is_ready(run: Run) -> bool:
    if run.status == RunStatus.QUEUED:
        return not run.queue_reason
    return run.status == RunStatus.SUSPENDED and run.wake_at is not None and run.wake_at <= clock.now()


def _send(sending: Sending, permit: liveness.Permit) -> Sent:
    """Send the row. A fault of ours or of the provider's own code must not lose what came of it."""
    exchange = Exchange(request_began=True, failure=Failure.CRASHED)  # what we know, should `send` itself break
    try:
        exchange = delivering.send(sending, may_begin=permit)
        delivery = delivering.weigh(sending, exchange)
    except Exception:
        logger.exception("the outcome of attempt %s could not be explained", sending.parcel.attempt_id)
        delivery = delivering.unexplained(exchange)
    return Sent(sending=sending, exchange=exchange, delivery=delivery, withheld=permit.refused)


def _give_up(run_id: str, claim: int | None, sent: Sent | None, go_on: Callable[[], bool]) -> None:
    if sent is not None:
        record_alone(sent, go_on)
    # Without a claim the run was not ours yet; if it is running now, it is another worker's.
    ours = Q(claim=claim) if claim is not None else ~Q(status=RunStatus.RUNNING)
    run = Run.objects.filter(ours, pk=run_id).active().first()
    if run is None:
        return
    turn = Turn(run, spec_of(run.loop_version_id), {step.key: step for step in _steps_of(run_id)}, now=clock.now())
    turn.fail_as_a_whole(
        stop_reason="step_failed",
        error_type="internal_error",
        error_message="This console met a fault of its own; its log has the details.",
    )
    try:
        with transaction.atomic():
            turn.lock_loop()
            turn.save()
    except Overtaken:  # a callback came in between
        _give_up(run_id, claim, None, go_on)
