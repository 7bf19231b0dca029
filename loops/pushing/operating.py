"""What people do to a push: start it, pause it, go on with it, and end it."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from integrations.models import Integration
from loops.authoring import create_loop
from loops.models import Loop, LoopStatus, Push, PushRow, PushState, RowState
from loops.pushing import drafting
from loops.pushing.checking import NotNow, action_for, hold
from loops.pushing.drafting import note
from mobius import clock
from mobius.errors import AlreadyExists, Conflict
from mobius.projects.auditing import Actor

_MOST_LOOPS = 50


class NotChecked(Conflict):
    """The push was not checked: do that first, so that you know what starting it does."""


def start(push: Push, *, by: Actor) -> Push:
    """Let its rows go. Raises NotChecked, NotNow, and Conflict when nothing is left to send."""
    with transaction.atomic():
        held = hold(push)
        if held.state in (PushState.READING, PushState.DRAFT):
            raise NotChecked
        if held.state != PushState.CHECKED:
            raise NotNow(f"The push is {held.state} already.")
        if held.integration is None:
            raise Conflict(f"The integration {held.integration_name} is disconnected: push the file to another one.")
        if not held.report.get("ready"):
            raise Conflict("No row of the file can be sent: the dry run says why.")
        held.loop = _loop_for(held.integration, by)
        held.started_at = clock.now()
        _go(held)
        note(held, "start", by, reason=f"{held.report['ready']:,} rows to {held.integration_name}.")
    return held


def pause(push: Push, *, by: Actor, why: str = "") -> Push:
    """Start no further row. The few that are in line already go on. Raises NotNow."""
    with transaction.atomic():
        held = hold(push)
        if held.state != PushState.RUNNING:
            raise NotNow(f"Only a push that is running can be paused; this one is {held.state}.")
        held.state, held.paused_because = PushState.PAUSED, ""
        held.save(update_fields=["state", "paused_because"])
        note(held, "pause", by, reason=why)
    return held


def resume(push: Push, *, by: Actor, why: str = "") -> Push:
    """Go on where it was. Raises NotNow."""
    with transaction.atomic():
        held = hold(push)
        if held.state != PushState.PAUSED:
            raise NotNow(f"Only a push that is paused can go on; this one is {held.state}.")
        _go(held)
        note(held, "resume", by, reason=why)
    return held


def cancel(push: Push, *, by: Actor, why: str = "") -> Push:
    """End it: what was not sent yet is never sent, what is on the wire may arrive. A push that never started is gone.

    Raises NotNow.
    """
    with transaction.atomic():
        held = hold(push)
        if held.has_ended:
            raise NotNow(f"The push is {held.state} already.")
        now = clock.now()
        never_started = not held.was_started
        held.state, held.ended_at, held.due_at = PushState.CANCELLED, now, now
        held.save(update_fields=["state", "ended_at", "due_at"])
        PushRow.objects.of_push(held.pk).waiting().order_by().update(
            state=RowState.NOT_SENT, reason="The push was cancelled before its turn."
        )
        note(held, "discard" if never_started else "cancel", by, reason=why)
    if never_started:
        drafting.delete(held)
    return held


def _go(held: Push) -> None:
    now = clock.now()
    held.state, held.paused_because, held.setbacks, held.due_at = PushState.RUNNING, "", 0, now
    held.going_since, held.settled_before = now, settled(PushRow.objects.of_push(held.pk).counts())
    held.save()


def settled(counts: dict[str, int]) -> int:
    """How many rows went through, of those that were started."""
    return sum(counts.get(state, 0) for state in (RowState.SENT, RowState.DUPLICATE, RowState.FAILED))


def _loop_for(integration: Integration, by: Actor) -> Loop:
    """The loop whose runs the rows are: made for the first push, and used again as long as nobody has changed it."""
    for number in range(1, _MOST_LOOPS):
        authored = _authored(integration, number)
        loop = Loop.objects.present().filter(project_id=integration.project_id, name=authored["name"]).first()
        if loop is None:
            try:
                return create_loop(project=integration.project, authored=authored)
            except AlreadyExists:
                continue
        version = loop.current_version
        if loop.status == LoopStatus.ACTIVE and version is not None and version.spec == authored:
            return loop
    raise Conflict(f"There are {_MOST_LOOPS} changed loops named push-rows-to-{integration.name}; delete some.")


def _authored(integration: Integration, number: int) -> dict[str, Any]:
    name = f"push-rows-to-{integration.name.replace('/', '-')}"
    return {
        "name": name if number == 1 else f"{name}-{number}",
        "description": f"Each row of a file that is pushed to {integration.name} is a run of this loop.",
        "schema_version": "1",
        "steps": [
            {
                "id": "push",
                "name": f"Push the row to {integration.name}",
                "kind": "action",
                "retry": {"max_attempts": 5, "delay": "2s"},
                "config": {
                    "action_name": action_for(integration),
                    "parameters": {
                        "integration": integration.pk,  # it may be renamed while the rows go
                        "payload": "${{ event.row }}",
                        "request_id": "${{ event.request_id }}",
                        "external_id": "${{ event.external_id }}",
                    },
                },
            }
        ],
    }
