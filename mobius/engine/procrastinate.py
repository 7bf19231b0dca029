"""The distributed engine's doorbell: a ring is a Procrastinate job, deferred on Django's own connection.

So it is heard when the transaction commits, by whichever worker process listens, and never if it rolls back.
"""

from __future__ import annotations

import time
from typing import Any

import procrastinate
from django.db import connections
from django_tasks.backends.base import BaseTaskBackend
from django_tasks.base import Task, TaskResult
from procrastinate.contrib.django.utils import connector_params
from psycopg_pool import AsyncConnectionPool

from mobius.engine.brake import Brake
from mobius.engine.doorbell import current_answer
from mobius.engine.receipts import receipt

JOB = "advance"
QUEUE = "runs"

_RING_AGAIN_SECONDS = 0.25
_rung_at = [float("-inf")]
"""The monotonic second of this process's last ring."""
_brake = Brake(lambda most: current_answer().count_due(most))
_deferrers: list[procrastinate.jobs.JobDeferrer] = []


def register(app: procrastinate.App) -> None:
    """Called by Procrastinate's Django app once it is ready (PROCRASTINATE_ON_APP_READY)."""
    _deferrers[:] = [app.configure_task(JOB, queue=QUEUE, allow_unknown=True)]


class ProcrastinateBackend(BaseTaskBackend):
    """Hands a task to the workers, in the caller's transaction."""

    def is_heard(self) -> bool:
        """One job for each run would cost a millisecond. A worker that was rung stays awake for longer than this; and
        should that ring be rolled back, workers look for what is due after as long at the latest."""
        return time.monotonic() - _rung_at[0] < _RING_AGAIN_SECONDS

    def make_way(self) -> None:
        """Slow this start down if workers are behind. Raises what the database raises."""
        _brake.wait()

    def enqueue(self, task: Task[..., Any], args: Any, kwargs: Any) -> TaskResult[Any]:
        run_id: str = args[0]
        _rung_at[0] = time.monotonic()
        return receipt(task, run_id, id=str(_deferrers[0].defer(run_id=run_id)), backend=self.alias)


def listening_app() -> procrastinate.App:
    """An app of its own for a worker: connections that can wait for notifications, which Django's cannot."""
    return procrastinate.App(
        connector=procrastinate.PsycopgConnector(
            kwargs=connector_params(connections["default"].alias), min_size=1, max_size=4, pool_factory=_pool
        )
    )


def _pool(**arguments: Any) -> AsyncConnectionPool[Any]:
    """Without a question to the database before every statement: a broken connection starts the listener anew."""
    return AsyncConnectionPool(**arguments | {"check": None})
