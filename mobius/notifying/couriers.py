"""The threads that deliver notifications: of their own, so that a slow receiver keeps no row waiting.

The sweep hands out what is due, oldest first, to as many as are free; and to no more than two at once for one endpoint,
so that one that does not answer keeps none of the others waiting. Nobody waits for a time here.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime

from mobius.engine.pool import Pool
from mobius.notifying.models import Notification
from mobius.notifying.sending import claim, deliver
from mobius.prepared import answered

COURIERS = 6
FOR_ONE_ENDPOINT = 2

# A look-up an endpoint that has something to be sent. The odd condition is that of the partial index.
_NEXT_ENDPOINT = "SELECT MIN(endpoint_id) FROM notifying_notification WHERE endpoint_id > %s AND due_at IS NOT NULL"

_pools: list[Pool] = []
_endpoint_of: dict[str, str] = {}  # of the notifications in hand
_counting = threading.Lock()


def use_pool(pool: Pool | None) -> None:
    """Name the couriers of this process, or that it has none (any more)."""
    _pools[:] = [pool] if pool else []


def hand_out(*, now: datetime) -> None:
    """Give the couriers of this process what is due. Safe in several processes at once."""
    endpoint = _next_endpoint("") if _pools else None
    while endpoint is not None and _room("") > 0:
        for due in Notification.objects.due_for(endpoint, now).without_bodies()[: _room(endpoint)]:
            if claim(due, now=now):
                with _counting:
                    _endpoint_of[due.pk] = endpoint
                _pools[0].put(due.pk)
        endpoint = _next_endpoint(endpoint)


def carry(notification_id: str, go_on: Callable[[], bool]) -> None:
    """What a courier does."""
    try:
        deliver(notification_id, go_on)
    finally:
        with _counting:
            _endpoint_of.pop(notification_id, None)


def _room(endpoint_id: str) -> int:
    """How many more may be sent at once: in all, or to this endpoint."""
    with _counting:
        in_all = COURIERS - len(_endpoint_of)
        if not endpoint_id:
            return in_all
        return min(in_all, FOR_ONE_ENDPOINT - Counter(_endpoint_of.values())[endpoint_id])


def _next_endpoint(after: str) -> str | None:
    found: str | None = answered(_NEXT_ENDPOINT, after)[0][0]
    return found
