"""Pushes in a few words, for tests that take them as far as they go."""

from __future__ import annotations

import io
from typing import Any

from integrations.models import Integration
from loops.models import Push, PushRow
from loops.pushing import checking, drafting, operating
from loops.pushing.mapping import Mapping, read_mapping
from loops.sweeping import sweep
from mobius import clock
from mobius.projects.auditing import SYSTEM
from tests.cast import work_off

LEADS = "request_id,Email\nr1,ada@example.com\nr2,grace@example.com\nr3,alan@example.com\n"


def leads(number: int, *, first: int = 1) -> str:
    rows = (f"r{one},lead{one}@example.com" for one in range(first, first + number))
    return "\n".join(["request_id,Email", *rows, ""])


def drafted(integration: Integration, text: str | bytes = LEADS, name: str = "leads.csv") -> Push:
    raw = text if isinstance(text, bytes) else text.encode()
    return drafting.draft(integration=integration, file=io.BytesIO(raw), name=name, size=len(raw), by=SYSTEM)


def checked(integration: Integration, text: str | bytes = LEADS, **wanted: Any) -> Push:
    push = drafted(integration, text)
    usual = Mapping.usual(push.columns)
    ids = {"request_id": usual.request_id, "external_id": usual.external_id} | wanted
    keys = ids.pop("keys", {})
    return checking.check(push, read_mapping(push.columns, keys, **ids), by=SYSTEM)


def started(integration: Integration, text: str | bytes = LEADS, **wanted: Any) -> Push:
    return operating.start(checked(integration, text, **wanted), by=SYSTEM)


def go_on(push: Push, *, turns: int = 1) -> Push:
    """What the sweep and the workers do in so many turns."""
    for _ in range(turns):
        Push.objects.filter(pk=push.pk, due_at__isnull=False).update(due_at=clock.now())
        sweep()
        work_off()
    return fresh(push)


def to_the_end(push: Push) -> Push:
    for _ in range(1000):
        if fresh(push).due_at is None:
            break
        go_on(push)
    return fresh(push)


def fresh(push: Push) -> Push:
    return Push.objects.select_related("integration__pacer", "loop").get(pk=push.pk)


def states(push: Push) -> list[str]:
    """The state of each row, in their order."""
    return list(PushRow.objects.of_push(push.pk).order_by("number").values_list("state", flat=True))


def reasons(push: Push) -> dict[int, str]:
    """By line, of the rows that have one."""
    return dict(PushRow.objects.of_push(push.pk).exclude(reason="").order_by("number").values_list("line", "reason"))
