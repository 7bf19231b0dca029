"""The embedded engine: the pool lives in the process that serves, the database is SQLite, one process in all."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction
from django_tasks.backends.base import BaseTaskBackend
from django_tasks.base import Task, TaskResult

from mobius.engine.pool import Place, Pool
from mobius.engine.receipts import receipt

if TYPE_CHECKING:  # the doorbell imports the backend, which is this
    from mobius.engine.doorbell import Work

_pools: list[Pool] = []


def use_pool(pool: Pool | None) -> None:
    """Name the pool of this process, or that it has none any more."""
    _pools[:] = [pool] if pool else []


def is_behind() -> bool:
    """Do more runs wait for a thread of this process's pool than it has threads?"""
    return bool(_pools) and _pools[0].is_behind


def has_place() -> bool:
    """Is a thread of this process's pool free for what somebody else begins?"""
    return bool(_pools) and _pools[0].has_place


def keep_place() -> Place | None:
    """A thread of this process's pool that is free to carry on what the caller begins in its transaction."""
    return _pools[0].keep_place() if _pools else None


def hand_over(place: Place, run_id: str, work: Work) -> None:
    """Let the thread that was kept do `work` once the transaction commits; a rollback gives it back."""
    transaction.on_commit(lambda: _pools[0].hand_over(place, run_id, work))


def pass_on(run_id: str, work: Work) -> bool:
    """Let a thread of this process's pool do `work` for a run once the transaction commits. False: it is to be rung."""
    if not _pools or not _pools[0].has_room:
        return False
    transaction.on_commit(lambda: _pools[0].put(run_id, work) if _pools else None)
    return True


def ring_file() -> Path:
    """Touched by processes that have no pool; the ticker of the one that has looks at it."""
    return Path(settings.MOBIUS_DATA_DIR) / "ring"


class EmbeddedBackend(BaseTaskBackend):
    """Hands a task to the pool of this process once the transaction commits.

    The backport of Django's tasks has no on-commit hook of its own (design §4).
    """

    def enqueue(self, task: Task[..., Any], args: Any, kwargs: Any) -> TaskResult[Any]:
        run_id: str = args[0]
        transaction.on_commit(lambda: _deliver(run_id))
        return receipt(task, run_id, id=uuid.uuid4().hex, backend=self.alias)


def _deliver(run_id: str) -> None:
    if _pools:
        _pools[0].put(run_id)
        return
    try:
        ring_file().touch()
    except OSError:  # no data directory, as under manage.py on a fresh clone: the next sweep finds the run
        pass
