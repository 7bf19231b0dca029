"""The part of a process that works: threads that carry runs on, and the ticker beside them, of either engine."""

from __future__ import annotations

import gc
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import connections

from mobius.engine import doorbell, embedded
from mobius.engine.one_cpu import share_one
from mobius.engine.pool import Pool
from mobius.engine.ticker import Ticker

if TYPE_CHECKING:  # its packages are there only with PostgreSQL
    from mobius.engine.worker import Worker

SENDS_END_WITHIN_SECONDS = 25
_COURIERS_END_WITHIN_SECONDS = 5
_MAILER_ENDS_WITHIN_SECONDS = 5


class Works:
    """Workers and ticker of this process, from the first run that they take to the last send."""

    def __init__(self) -> None:
        from mobius.alerting import mailing
        from mobius.notifying import couriers  # its models need the apps, which whoever imports this may still load

        answer = doorbell.current_answer()
        self._use_couriers, self._use_mailer = couriers.use_pool, mailing.use_pool
        self._ticker = Ticker(answer, ring_file=embedded.ring_file())
        self._couriers = Pool(replace(answer, advance=couriers.carry), threads=couriers.COURIERS)
        self._mailer = Pool(replace(answer, advance=mailing.carry), threads=1)
        if settings.MOBIUS_ENGINE == "embedded":
            answer.recover()
            self._workers: Pool | Worker = Pool(answer, threads=settings.MOBIUS_WORKERS)
            embedded.use_pool(self._workers)
        else:
            from mobius.engine.worker import Worker

            self._workers = Worker(answer, threads=settings.MOBIUS_WORKERS)

    def start(self) -> None:
        """Raises DatabaseError when the database does not answer."""
        self._workers.start()
        self._couriers.start()
        self._use_couriers(self._couriers)
        self._mailer.start()
        self._use_mailer(self._mailer)
        self._ticker.start()
        _at_work[:] = [self]

    def fault(self) -> str:
        """What does not live any more; "" when all does."""
        if not (self._workers.is_alive and self._couriers.is_alive and self._mailer.is_alive):
            return "a worker has died"
        return "" if self._ticker.is_alive else "the ticker has died or hangs"

    def stop(self) -> bool:
        """Claim nothing more and wait for the sends in flight. False when one was still under way after 25 seconds."""
        _at_work.clear()
        self._ticker.stop()
        self._use_couriers(None)
        self._use_mailer(None)
        ended = self._workers.stop(patience_seconds=SENDS_END_WITHIN_SECONDS)
        self._couriers.stop(patience_seconds=_COURIERS_END_WITHIN_SECONDS)  # what they leave is sent again
        self._mailer.stop(patience_seconds=_MAILER_ENDS_WITHIN_SECONDS)
        embedded.use_pool(None)
        connections.close_all()
        return ended


_at_work: list[Works] = []


def fault() -> str:
    """What is wrong with the part of this process that works; "" when nothing is.

    A web process of the distributed engine has no such part, and takes starts and callbacks also while no worker does.
    """
    if _at_work:
        return _at_work[0].fault()
    return "no workers run in this process" if settings.MOBIUS_ENGINE == "embedded" else ""


def settle_down() -> None:
    """Tell the interpreter that this process has started and will work for long, with many threads."""
    # What the start has made stays; looking through it again at every collection costs a fiftieth of a core.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    # Threads that are pushed out every 5 ms wait for each other more than they work; 20 ms cost a tenth less CPU a run.
    sys.setswitchinterval(0.02)


def share_one_cpu() -> None:
    """For a process that carries runs on; a web process of the distributed engine is quicker on all of them."""
    if settings.MOBIUS_ONE_CPU:
        share_one()


def work(*, when_up: Callable[[], None]) -> bool:
    """Work until SIGTERM or SIGINT. False when a send was still under way after 25 seconds."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    works = Works()
    works.start()
    when_up()
    settle_down()
    share_one_cpu()
    stopping.wait()
    return works.stop()
