"""Forgetting what old notifications held. The log itself stays."""

from __future__ import annotations

from datetime import datetime

from integrations.purging import Walk
from mobius.notifying.models import Notification


def through_notifications() -> Walk:
    return Walk(name="webhook deliveries", objects=Notification.objects, made_at="created_at", forget=_blank)


def _blank(ids: list[str], before: datetime) -> int:
    return Notification.objects.to_purge(before).filter(pk__in=ids).update(body="", response="")
