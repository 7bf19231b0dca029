"""Forgetting what old notifications held. The log itself stays."""

from __future__ import annotations

from datetime import datetime

from mobius.notifying.models import Notification

_BATCH = 500


def purge_notifications(*, before: datetime) -> int:
    """Blank what was sent and answered before `before`; returns how many there were. To be called in no transaction."""
    purged = 0
    while ids := list(Notification.objects.to_purge(before).values_list("pk", flat=True)[:_BATCH]):
        purged += Notification.objects.filter(pk__in=ids).update(body="", response="")
    return purged
