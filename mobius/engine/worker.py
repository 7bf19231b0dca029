"""A worker of the distributed engine: an ear for jobs, hands that carry runs on, and a heart.

Procrastinate listens and hands out; what happens to a run is the same as in the embedded engine. A job lasts as long as
the worker has its run in hand, so that the ring of a worker that dies is found and rung again.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from concurrent.futures import Future
from functools import partial
from typing import NamedTuple

from django.conf import settings
from django.db import close_old_connections, connection, connections
from procrastinate import App
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import DeleteJobCondition, Status
from procrastinate.worker import Worker as Listener

from mobius.engine.doorbell import Answer, Work, ring
from mobius.engine.liveness import BEATS, Heart
from mobius.engine.procrastinate import JOB, QUEUE, listening_app

logger = logging.getLogger(__name__)
_LISTEN_AGAIN_SECONDS = 1.0
_LOOKS_FOR_JOBS_EVERY_SECONDS = 0.5  # notifications wake it; this is for one that came at the wrong moment
_AWAKE_SECONDS = 0.5  # after a ring or a find; rings are left out for half of that (mobius/engine/procrastinate.py)
_LOOKS_EVERY_SECONDS = {True: 0.004, False: 0.25}  # awake, or not


class _Call(NamedTuple):
    """Something for a hand to do."""

    run_id: str
    work: Work
    begun: bool  # its row may be as good as on the wire: it is done even when we are closing
    carried: Future[None]


class Worker:
    """Carries on the runs that are rung, a number of them at once."""

    def __init__(self, answer: Answer, *, threads: int) -> None:
        self._answer = answer
        self._heart = Heart(answer)
        self._given: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._hands = [
            threading.Thread(target=self._work, name=f"worker-{number}", daemon=True) for number in range(threads)
        ]
        self._in_hand = 0
        self._counting = threading.Lock()
        self._rung = threading.Event()
        self._closing = threading.Event()
        self._watch = threading.Thread(target=self._keep_watch, name="watch", daemon=True)
        self._listener: Listener | None = None
        self._ear = threading.Thread(target=lambda: asyncio.run(self._listen()), name="listener", daemon=True)

    def start(self) -> None:
        """Raises DatabaseError when the database does not answer."""
        self._heart.start()
        for thread in [*self._hands, self._ear, self._watch]:
            thread.start()

    @property
    def is_alive(self) -> bool:
        return self._heart.is_alive and all(one.is_alive() for one in [*self._hands, self._ear, self._watch])

    def stop(self, *, patience_seconds: float) -> bool:
        """Claim nothing more and wait for the sends in flight. False when some had not ended in time."""
        deadline = time.monotonic() + patience_seconds
        self._closing.set()
        if self._listener is not None:
            self._listener.stop()  # type: ignore[no-untyped-call]  # the library's own
        self._rung.set()
        self._watch.join(5)
        self._ear.join(patience_seconds)  # it waits for its jobs, and gives back what nobody has in hand yet
        for _ in self._hands:
            self._given.put(None)
        for thread in self._hands:
            thread.join(max(0.0, deadline - time.monotonic()))
        ended = not any(thread.is_alive() for thread in self._hands)
        self._heart.stop()
        return ended

    def put(self, run_id: str) -> Future[None]:
        """Take `run_id` in hand as soon as a thread is free. The future is done when it is carried on."""
        return self._give(run_id, partial(self._answer.advance, run_id), begun=False)

    def _give(self, run_id: str, work: Work, *, begun: bool) -> Future[None]:
        carried: Future[None] = Future()
        with self._counting:
            self._in_hand += 1
        self._given.put(_Call(run_id, work, begun, carried))
        return carried

    def _work(self) -> None:
        while (call := self._given.get()) is not None:
            try:
                self._carry_on(call)
            except Exception:
                # The one border where anything may arrive: the run stays as it was committed, the sweep rings it again.
                logger.exception("run %s could not be advanced", call.run_id)
            if self._given.empty() or connection.errors_occurred:  # it asks the database whether it is still there
                close_old_connections()
            with self._counting:
                self._in_hand -= 1
            call.carried.set_result(None)
        connections.close_all()

    def _keep_watch(self) -> None:
        """Take what is due: often while there is much to do, now and then when not. It is how a worker that is awake
        finds runs that nobody rings for, and how lost rings are found."""
        awake_until = 0.0
        while not self._closing.is_set():
            try:
                found = self._take_due()
            except Exception:
                logger.exception("what is due could not be looked up; trying again in a second")
                found = False
                self._closing.wait(1)
            close_old_connections()
            if found or self._rung.is_set():
                self._rung.clear()
                awake_until = time.monotonic() + _AWAKE_SECONDS
            awake = time.monotonic() < awake_until
            self._rung.wait(_LOOKS_EVERY_SECONDS[awake])
        connections.close_all()

    def _take_due(self) -> bool:
        free = len(self._hands) - self._in_hand
        due = self._answer.take_due(free) if free > 0 else []
        if due:  # there are hands free for all of them, so what is begun here is not kept waiting
            for run_id, work in self._answer.begin_all(due, self._may_go_on).items():
                self._give(run_id, work, begun=True)
        return bool(due)

    def _carry_on(self, call: _Call) -> None:
        if self._closing.is_set() and not call.begun:
            ring(call.run_id)  # somebody else's now
        else:
            call.work(self._may_go_on)

    def _may_go_on(self) -> bool:
        return not self._closing.is_set()

    # --- listening, on an event loop of its own ---------------------------------------------------------------------

    async def _listen(self) -> None:
        while not self._closing.is_set():
            try:
                app = listening_app()
                app.task(name=JOB, queue=QUEUE)(self._heard)
                async with app.open_async():
                    await self._hand_out(app)
            except Exception:
                # The database may be away for a while, or we were given up and have lost our name.
                logger.exception("the listener stopped; it starts again")
                await asyncio.sleep(_LISTEN_AGAIN_SECONDS)

    async def _heard(self, run_id: str) -> None:
        self._rung.set()
        await asyncio.wrap_future(self.put(run_id))

    async def _hand_out(self, app: App) -> None:
        self._listener = Listener(
            app,
            queues=[QUEUE],
            concurrency=len(self._hands),
            delete_jobs=DeleteJobCondition.ALWAYS,
            fetch_job_polling_interval=_LOOKS_FOR_JOBS_EVERY_SECONDS,
            abort_job_polling_interval=3600.0,  # nothing of ours is aborted
            update_heartbeat_interval=settings.MOBIUS_SILENCE_SECONDS * BEATS,
            stalled_worker_timeout=settings.MOBIUS_SILENCE_SECONDS,
            install_signal_handlers=False,
        )
        clearing = asyncio.create_task(self._clear_stalled(app))
        try:
            if not self._closing.is_set():
                await self._listener.run()  # type: ignore[no-untyped-call]  # the library's own
        finally:
            clearing.cancel()

    async def _clear_stalled(self, app: App) -> None:
        """Ring again for what workers had in hand that are no more, and forget their jobs."""
        manager, silence = app.job_manager, settings.MOBIUS_SILENCE_SECONDS
        while True:
            await manager.prune_stalled_workers(silence)
            for job in await manager.get_stalled_jobs(seconds_since_heartbeat=silence):
                await app.configure_task(JOB, queue=QUEUE).defer_async(**job.task_kwargs)
                try:
                    await manager.finish_job(job, status=Status.FAILED, delete_job=True)
                except ConnectorException:
                    pass  # another worker was quicker
            await asyncio.sleep(silence * BEATS)
