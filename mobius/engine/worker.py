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
from typing import NamedTuple

from django.conf import settings
from django.db import close_old_connections, connection, connections
from procrastinate import App
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import DeleteJobCondition, Status
from procrastinate.worker import Worker as Listener

from mobius.engine.doorbell import Answer, Work, ring
from mobius.engine.liveness import BEATS, Heart
from mobius.engine.postgresql.base import go_by_index
from mobius.engine.procrastinate import JOB, QUEUE, listening_app

logger = logging.getLogger(__name__)
_LISTEN_AGAIN_SECONDS = 1.0
_LOOKS_FOR_JOBS_EVERY_SECONDS = 0.5  # notifications wake it; this is for one that came at the wrong moment
_AWAKE_SECONDS = 0.5  # after a ring or a find; rings are left out for half of that (mobius/engine/procrastinate.py)
_LOOKS_EVERY_SECONDS = {True: 0.002, False: 0.25}  # awake, or not


class _Call(NamedTuple):
    """A run in hand."""

    run_id: str
    work: Work
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
        self._rung: queue.SimpleQueue[tuple[str, Future[None]]] = queue.SimpleQueue()
        self._wake = threading.Event()
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
        self._wake.set()
        self._ear.join(patience_seconds)  # it waits for its jobs
        self._watch.join(5)  # which gives back what nobody has in hand yet
        for _ in self._hands:
            self._given.put(None)
        for thread in self._hands:
            thread.join(max(0.0, deadline - time.monotonic()))
        ended = not any(thread.is_alive() for thread in self._hands)
        self._heart.stop()
        return ended

    def put(self, run_id: str) -> Future[None]:
        """Take `run_id` in hand as soon as a thread is free. The future is done when it is carried on."""
        carried: Future[None] = Future()
        carried.set_running_or_notify_cancel()  # whoever waits may give up waiting: the thread goes on, and ends it
        self._rung.put((run_id, carried))
        self._wake.set()
        return carried

    def _work(self) -> None:
        go_by_index()
        while (call := self._given.get()) is not None:
            try:
                call.work(self._may_go_on)
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
        """Take what is rung and what is due, as much as there are free hands: often while there is much to do, now and
        then when not. It is how a worker that is awake finds runs that nobody rings for, and lost rings are found."""
        go_by_index()
        awake_until = 0.0
        while not self._closing.is_set():
            self._wake.clear()
            try:
                found = self._take()
            except Exception:
                logger.exception("what is due could not be looked up; trying again in a second")
                found = False
                self._closing.wait(1)
            close_old_connections()
            if found or not self._rung.empty():
                awake_until = time.monotonic() + _AWAKE_SECONDS
            awake = time.monotonic() < awake_until
            self._wake.wait(_LOOKS_EVERY_SECONDS[awake])
        while self._ear.is_alive():
            self._give_back()
            self._wake.wait(_LOOKS_EVERY_SECONDS[True])
        connections.close_all()

    def _take(self) -> bool:
        """Nobody else takes, so there is a hand free for everything that is begun here: none of it is kept waiting."""
        free = len(self._hands) - self._in_hand
        heard = min(free, self._rung.qsize())
        if not free or not (heard or self._answer.count_due(1)):
            return False
        rung = [self._rung.get() for _ in range(heard)]
        try:
            works = self._answer.begin_all(
                list(dict.fromkeys(run_id for run_id, _ in rung)), self._may_go_on, free - heard
            )
        except BaseException:  # the database does not answer; what was rung is kept until it does
            for one in rung:
                self._rung.put(one)
            raise
        jobs = self._jobs_of(rung, works)
        for run_id, work in works.items():
            self._give(_Call(run_id, work, jobs.get(run_id) or Future()))
        return bool(rung or works)

    def _jobs_of(self, rung: list[tuple[str, Future[None]]], works: dict[str, Work]) -> dict[str, Future[None]]:
        """The job that lasts for as long as its run is in hand; whichever rang in vain, or a second time, is done."""
        jobs: dict[str, Future[None]] = {}
        for run_id, carried in rung:
            if run_id in works and run_id not in jobs:
                jobs[run_id] = carried
            else:
                carried.set_result(None)
        return jobs

    def _give(self, call: _Call) -> None:
        with self._counting:
            self._in_hand += 1
        self._given.put(call)

    def _give_back(self) -> None:
        """Ring once more for what nobody has in hand: it is somebody else's now."""
        while not self._rung.empty():
            run_id, carried = self._rung.get()
            try:
                ring(run_id)
            except Exception:
                logger.exception("run %s could not be rung for", run_id)  # it is due again after a while
            carried.set_result(None)

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
