"""Something happened: written down for everybody who wants to be told, with it and in its transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from mobius.api.renderers import to_json
from mobius.notifying.models import Endpoint, Notification


def tell(*, project_id: str, event_type: str, run_id: str, data: dict[str, Any], now: datetime) -> None:
    """Write a notification for each endpoint of the project that wants this event. They are sent soon after."""
    wanting = [one for one in Endpoint.objects.listening().filter(project_id=project_id) if one.wants(event_type)]
    body = body_of(event_type, data) if wanting else ""
    Notification.objects.bulk_create(
        Notification(
            project_id=project_id,
            endpoint=endpoint,
            event_type=event_type,
            run_id=run_id,
            body=body,
            due_at=now,
            created_at=now,
        )
        for endpoint in wanting
    )


def body_of(event_type: str, data: dict[str, Any]) -> str:
    """What is posted (mobius-contract §9)."""
    return to_json({"type": event_type, "data": data}).decode()
