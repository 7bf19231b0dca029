"""The small world that the rules are tried in: one project, one Clay table, real verbs, a real database, one thread.

What happens "at the same moment" happens while a row is on the wire: the fake wire does what it was told to do
meanwhile, then answers. A process dies by an exception that no code of ours may catch; every transaction that was open
rolls back, as it does at kill -9, and whatever the threads knew is gone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import time_machine
from django.db import connection, transaction

from integrations import connecting, outbound
from integrations.forms import UNLIMITED, Options
from integrations.models import Attempt, AttemptState, Integration, Pacer
from integrations.providers.contract import Connection, Exchange, OutgoingRequest
from integrations.providers.registry import get_provider
from integrations.secrets import fingerprint
from integrations.settling import Decision
from loops import acting, callbacks, operating, retrying, settling
from loops.advance import advance
from loops.authoring import create_loop
from loops.models import Loop, Run, RunStatus
from loops.settling import NothingToSend
from loops.starting import IdempotencyKeyConflict, Start, StartedRun, start_run
from loops.sweeping import recover, sweep
from loops.turn import Turn
from mobius import clock
from mobius.errors import MobiusError
from mobius.projects.auditing import Actor
from mobius.projects.models import ActorKind, Project
from tests.rules.wire import ANSWERS, FakeClay

JsonObject = dict[str, Any]
Happening = tuple[Any, ...]
"""The name of a method of World, and its arguments."""

WEBHOOK = "https://api.clay.com/v3/sources/webhook/"
SOMEBODY = Actor(kind=ActorKind.USER, name="bob")
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class Died(BaseException):
    """kill -9."""


@dataclass(frozen=True)
class Post:
    """What one POST of a worker meets."""

    answer: str = "accepted"
    meanwhile: tuple[Happening, ...] = ()


@dataclass(frozen=True)
class Table:
    """What the table takes, and what its integration is told."""

    limit: int | None = None
    paced: bool = False
    wait_at_limit: bool = False
    never_twice: bool = True  # off: the ledger does not cover up for a sender that sends again


@dataclass(frozen=True)
class Fate:
    """What becomes of a process while one of its workers is at work; numbers count moments, and steps."""

    dies_in: int | None = None
    closes_in: int | None = None  # and is started again at once


def push(key: str = "push", *, row: JsonObject | None = None, **fields: Any) -> JsonObject:
    parameters = row or {
        "payload": {"run": "${{ meta.run_id }}", "step": key},
        "request_id": "${{ meta.run_id }}-" + key,
    }
    return {
        "id": key,
        "kind": "action",
        "config": {"action_name": "clay.webhook.submit", "parameters": parameters},
    } | fields


_SHARED = {"payload": {"row": "${{ event.row }}"}, "request_id": "${{ event.row }}"}
_NAMELESS = {"payload": {"run": "${{ meta.run_id }}"}, "callback_url": "${{ callback.url }}"}
_ASKING = {
    "payload": {"run": "${{ meta.run_id }}"},
    "request_id": "${{ meta.run_id }}",
    "callback_url": "${{ callback.url }}",
}
_WAIT = {
    "id": "wait",
    "kind": "wait_for_event",
    "config": {"event_type": "clay.callback", "match": {"final": True}},
    "timeout": {"duration": "1h"},
}
_RETRY = {"max_attempts": 3, "delay": "10s"}
LOOPS: dict[str, JsonObject] = {
    "one row": {"steps": [push()]},
    "the same row": {"steps": [push(row=_SHARED, retry=_RETRY)]},
    "a row without request_id": {"steps": [push(row=_NAMELESS, retry=_RETRY)]},
    "ask and wait": {"steps": [push(row=_ASKING, retry=_RETRY), _WAIT]},
    "ask and wait, hurried": {"steps": [push(row=_ASKING), _WAIT], "limits": {"wall_clock_timeout": "20m"}},
    "two rows, retried": {"steps": [push(retry=_RETRY), push("then", retry=_RETRY)]},
    "sleep first": {"steps": [{"id": "nap", "kind": "sleep", "config": {"duration": "5m"}}, push()]},
    "hurried": {"steps": [push(timeout={"duration": "60s"})], "limits": {"wall_clock_timeout": "10m"}},
    "hurried as a whole": {"steps": [push(retry=_RETRY)], "limits": {"wall_clock_timeout": "45s"}},
}


class World:
    """Every public method is something that may happen at any moment while the process is `up`."""

    def __init__(self, check: Callable[[World], None]) -> None:
        self.clay = FakeClay()
        self.up = True
        self.settled: set[str] = set()  # attempts whose doubt a person ended
        self._check = check
        self._posts: list[list[Post]] = []  # what is to come for each worker at work, the innermost last
        self._dies_in: int | None = None  # moments
        self._on_the_wire = 0
        self._ending = ExitStack()
        self._ending.enter_context(_rolled_back())
        self._clock = self._ending.enter_context(time_machine.travel(BEGINNING, tick=False))
        for target, name, replacement in (
            (outbound, "post", self._post),
            (Turn, "save", self._stoppable(Turn.save)),
            (acting.secrets, "randbelow", lambda below: below // 2),
        ):
            self._ending.enter_context(mock.patch.object(target, name, replacement))
        self.project = Project.objects.create(handle="platform", name="Platform")
        self._loops: dict[str, Loop] = {}

    def end(self) -> None:
        self._ending.close()

    def connect_first(self, table: Table) -> None:
        self.table = table
        self.reconnect("one")
        Integration.objects.update(wait_at_limit=table.wait_at_limit, never_twice=table.never_twice)
        if table.paced:
            Pacer.objects.update(rate_per_second=0.5, burst=2)

    def do(self, happening: Happening) -> None:
        name, *arguments = happening
        getattr(self, name)(*arguments)

    # --- what people and Clay do -------------------------------------------------------------------------------------

    def start(self, kind: str, row: int, key: str) -> None:
        """A start; a repeated key gives the active run that holds it, and never a second one."""
        holder = Run.objects.holding_key(key).first() if key else None
        try:
            started = self._start(kind, row, key)
        except IdempotencyKeyConflict:
            assert holder is not None
            assert holder.has_ended
            return
        if holder is not None:
            assert not holder.has_ended
            assert (started.run.pk, started.created) == (holder.pk, False)

    def _start(self, kind: str, row: int, key: str) -> StartedRun:
        given = Start(event={"row": f"row-{row}"}, meta={}, config={}, source={}, idempotency_key=key)
        if kind not in self._loops:
            self._loops[kind] = create_loop(project=self.project, authored={"name": kind} | LOOPS[kind])
        return start_run(loop=self._loops[kind], start=given)

    def call_back(self, pick: int, door: str, body: JsonObject) -> None:
        """Clay calls back for a row that it has: only such a row can be called back for."""
        if not self.clay.rows:
            return
        row = self.clay.rows[-1 - pick % len(self.clay.rows)]
        if row.callback_token and (door == "address" or not row.request_id):
            callbacks.receive_at_address(row.callback_token, body)
        else:
            callbacks.receive_by_request_id(self.project, body | {"request_id": row.request_id})

    def settle(self, pick: int, otherwise: Decision) -> None:
        """A person looks into the table and says what is true; `otherwise` when the row is not there."""
        doubts = list(Attempt.objects.in_doubt().order_by("id"))
        if not doubts:
            return
        attempt = doubts[-1 - pick % len(doubts)]
        arrived = any(row.attempt_id == attempt.pk for row in self.clay.rows)
        with suppress(NothingToSend):
            settling.settle(attempt, Decision.ARRIVED if arrived else otherwise, reason="Looked.", by=SOMEBODY)
            self.settled.add(attempt.pk)

    def cancel(self, pick: int) -> None:
        if run := self._pick(pick):
            operating.cancel(run, by=SOMEBODY)

    def retry(self, pick: int) -> None:
        """Refused unless the run has failed, or was cancelled, and may be tried again."""
        if run := self._pick(pick):
            with suppress(MobiusError):
                retrying.retry(run, by=SOMEBODY)

    def _pick(self, pick: int) -> Run | None:
        runs = list(Run.objects.order_by("-id"))
        return runs[pick % len(runs)] if runs else None

    def pause(self) -> None:
        connecting.pause(Integration.objects.get())

    def resume(self) -> None:
        connecting.resume(Integration.objects.get())

    def reconnect(self, table: str) -> None:
        connecting.connect(
            project=self.project,
            provider=get_provider("clay"),
            connection=Connection(webhook_url=WEBHOOK + table),
            options=Options(
                submission_limit=UNLIMITED if self.table.limit is None else self.table.limit,
                rate_per_second=None if Integration.objects.exists() else UNLIMITED,
            ),
        )

    # --- what the engine does ----------------------------------------------------------------------------------------

    def pass_time(self, seconds: float) -> None:
        self._clock.shift(timedelta(seconds=seconds))

    def sweep(self) -> None:
        sweep()

    def let_time_pass(self, seconds: float) -> None:
        """Longer, and the ticker ticks again."""
        self.pass_time(seconds)
        self.sweep()

    def ring(self, pick: int, *posts: Post) -> None:
        """A worker answers the doorbell for any run at all, ready or not."""
        if run := self._pick(pick):
            self._work(run.pk, posts)

    def work(self, pick: int, posts: Sequence[Post], fate: Fate) -> None:
        """A worker takes a run that is ready."""
        ready = self.ready()
        if not ready:
            return
        self._dies_in = fate.dies_in
        try:
            self._work(ready[pick % len(ready)], posts, closes_in=fate.closes_in)
        except Died:
            self.up = False
        finally:
            self._dies_in = None
        if fate.closes_in is not None:
            self.restart()

    def start_and_work(self, start: Happening, posts: Sequence[Post], fate: Fate) -> None:
        self.do(start)
        self.work(-1, posts, fate)

    @property
    def is_sending(self) -> bool:
        """Is a worker's row on the wire at this moment?"""
        return self._on_the_wire > 0

    def ready(self) -> list[str]:
        due = Run.objects.filter(status=RunStatus.SUSPENDED, wake_at__lte=clock.now())
        ready = Run.objects.filter(status=RunStatus.QUEUED) | due
        return list(ready.order_by("id").values_list("pk", flat=True))

    def restart(self) -> None:
        """The next process finds that its predecessor is dead."""
        recover()
        self.up, self._on_the_wire = True, 0

    def come_to_rest(self) -> None:
        """The process is up, the table takes every row, and time passes until nothing moves any more."""
        self.restart()
        self.resume()
        before: object = None
        while (active := list(Run.objects.active().values_list("pk", "revision"))) != before:
            before = active
            self.pass_time(3700)  # longer than any wait
            self.sweep()
            while self.ready():
                self.work(0, [], Fate())

    def _work(self, run_id: str, posts: Sequence[Post], *, closes_in: int | None = None) -> None:
        asked = 0

        def go_on() -> bool:
            nonlocal asked
            asked += 1
            return closes_in is None or asked <= closes_in

        depth = len(self._posts)
        self._posts.append(list(posts))
        try:
            advance(run_id, go_on)
        finally:
            del self._posts[depth:]

    # --- the wire ----------------------------------------------------------------------------------------------------

    def _post(self, request: OutgoingRequest, **_: Any) -> Exchange:
        attempt = self._written_down(request)
        coming = self._posts[-1]
        post = coming.pop(0) if coming else Post()
        answer = ANSWERS[post.answer]
        self._on_the_wire += 1
        self._check(self)
        self._moment()
        if answer.row:
            self.clay.take(request, attempt_id=attempt.pk, step_id=attempt.step_id)
        self._moment()
        for happening in post.meanwhile:
            self.do(happening)
        self.pass_time(answer.seconds)
        self._moment()
        self._on_the_wire -= 1
        return answer.exchange

    def _written_down(self, request: OutgoingRequest) -> Attempt:
        """The attempt behind a request: committed as `sending` before anything leaves."""
        assert len(connection.savepoint_ids) == 1, "a transaction is open while a row goes out"

        def plain(body: str | bytes) -> JsonObject:
            return {name: value for name, value in json.loads(body).items() if name != "callback_url"}

        wanted = plain(request.body)
        sending = Attempt.objects.sending().filter(webhook__url_fingerprint=fingerprint(request.url))
        (attempt,) = [one for one in sending if plain(one.body) == wanted]
        assert attempt.state == AttemptState.SENDING
        return attempt

    def _moment(self) -> None:
        """A point at which the process may die."""
        if self._dies_in is not None:
            self._dies_in -= 1
            if self._dies_in < 0:
                raise Died

    def _stoppable(self, save: Callable[[Turn], None]) -> Callable[[Turn], None]:
        def stoppable(turn: Turn) -> None:
            self._moment()
            save(turn)
            self._moment()

        return stoppable


@contextmanager
def _rolled_back() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
