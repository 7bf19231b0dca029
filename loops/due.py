"""Runs whose time has come, for the workers that ask. Only on PostgreSQL, where several of them ask at once."""

from __future__ import annotations

from collections.abc import Collection

from django.db import connection

from loops.models import Run
from mobius import clock
from mobius.engine import liveness
from mobius.prepared import Select, answered, execute

BATCH = 200
_MOST_DOUBLINGS = 6  # an hour
_runs = Select(lambda: Run.objects.order_by())
_DUE = "WHERE ring_due_at <= %s ORDER BY ring_due_at, id LIMIT %s"
_COUNT_DUE = "SELECT COUNT(*) FROM (SELECT 1 FROM loops_run WHERE ring_due_at <= %s LIMIT %s) AS due"
_LATER = "ring_due_at = %s + interval '60 seconds' * 2 ^ least(rings, %s), rings = rings + 1"
# Names of columns only; values are always parameters.
_TAKE_DUE = f"""
    WITH due AS (SELECT id FROM loops_run {_DUE} FOR UPDATE SKIP LOCKED)
    UPDATE loops_run SET {_LATER}, worker = %s FROM due WHERE loops_run.id = due.id RETURNING loops_run.id
"""  # noqa: S608
_PUT_OFF = f"UPDATE loops_run SET {_LATER} WHERE id = ANY(%s)"  # noqa: S608


def lock_due(most: int) -> list[Run]:
    """Runs whose time has come and that nobody else has before him; ours until the transaction ends."""
    return _runs.ending(f"{_DUE} FOR NO KEY UPDATE SKIP LOCKED", clock.now(), min(most, BATCH))


def put_off(run_ids: Collection[str]) -> None:
    """They were due, and there is nothing to do for them just now."""
    if run_ids:
        execute(_PUT_OFF, clock.now(), _MOST_DOUBLINGS, list(run_ids))


def take_due(most: int) -> list[str]:
    """Runs whose time has come, for this worker and nobody else; they are due again after a while, or when the worker
    is given up."""
    now = clock.now()
    taken = answered(_TAKE_DUE, now, min(most, BATCH), now, _MOST_DOUBLINGS, liveness.worker())
    return [run_id for (run_id,) in taken]


def count_due(most: int) -> int:
    """Runs whose time has come and that no worker has taken yet; `most` when there are more."""
    moment = connection.ops.adapt_datetimefield_value(clock.now())
    return int(answered(_COUNT_DUE, moment, most)[0][0])
