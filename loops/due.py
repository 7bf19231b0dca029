"""Runs whose time has come: rung for in the embedded engine, and on PostgreSQL taken by the workers that ask.

What is due is due again later, and the later the oftener it was, so that a backlog is not gone through over and over.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db import connection, transaction

from loops.models import RING_AGAIN_AFTER, Run
from mobius import clock
from mobius.engine import liveness
from mobius.engine.doorbell import ring
from mobius.prepared import Select, answered, execute

BATCH = 200
_MOST_DOUBLINGS = 6  # an hour
_runs = Select(lambda: Run.objects.order_by())
_DUE = "WHERE ring_due_at <= %s ORDER BY ring_due_at, id LIMIT %s"
# Looked at four times a second, mostly in vain: written out, for Django takes longer to compile it than it runs.
_TO_RING = f"SELECT id, rings FROM loops_run {_DUE}"  # noqa: S608
_COUNT_DUE = "SELECT COUNT(*) FROM (SELECT 1 FROM loops_run WHERE ring_due_at <= %s LIMIT %s) AS due"
_AGAIN = f"interval '{RING_AGAIN_AFTER.total_seconds()} seconds'"
_LATER = f"ring_due_at = %s + {_AGAIN} * 2 ^ least(rings, %s), rings = rings + 1"
# Names of columns only; values are always parameters.
_TAKE_DUE = f"""
    WITH due AS (SELECT id FROM loops_run {_DUE} FOR UPDATE SKIP LOCKED)
    UPDATE loops_run SET {_LATER}, worker = %s FROM due WHERE loops_run.id = due.id RETURNING loops_run.id
"""  # noqa: S608
_PUT_OFF = f"UPDATE loops_run SET {_LATER} WHERE id = ANY(%s)"  # noqa: S608
_TAKE = f"UPDATE loops_run SET {_LATER}, worker = %s WHERE id = ANY(%s)"  # noqa: S608


def ring_due(now: datetime) -> None:
    """Ring for runs whose time has come. In the embedded engine, where nobody else does."""
    due = answered(_TO_RING, connection.ops.adapt_datetimefield_value(now), BATCH)
    if not due:
        return
    with transaction.atomic():  # one commit for all of them
        for run_id, rings in due:
            again = now + RING_AGAIN_AFTER * 2 ** min(rings, _MOST_DOUBLINGS)
            if Run.objects.to_ring(now).filter(pk=run_id).update(ring_due_at=again, rings=rings + 1):
                ring(run_id)


def lock_due(most: int) -> list[Run]:
    """Runs whose time has come and that nobody else has before him; ours until the transaction ends."""
    return _runs.ending(f"{_DUE} FOR NO KEY UPDATE SKIP LOCKED", clock.now(), min(most, BATCH))


def put_off(run_ids: Collection[str]) -> None:
    """They were due, and there is nothing to do for them just now."""
    if run_ids:
        execute(_PUT_OFF, clock.now(), _MOST_DOUBLINGS, list(run_ids))


def take(run_ids: Collection[str]) -> None:
    """They were due and are locked: they are this worker's, as with `take_due`."""
    if run_ids:
        execute(_TAKE, clock.now(), _MOST_DOUBLINGS, liveness.worker(), list(run_ids))


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
