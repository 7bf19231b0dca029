"""Forgetting what the rows of old pushes held. What became of each row, the counts and the ledger stay."""

from __future__ import annotations

from datetime import datetime

from integrations.purging import Walk
from loops.models import Push, PushRow
from loops.pushing import drafting
from mobius import clock

BATCH = 2000
"""Rows in one transaction: nothing but one column of them is written."""


def through_pushes() -> Walk:
    return Walk(name="pushes", objects=Push.objects, made_at="created_at", forget=_forget, batch=5)


def _forget(ids: list[str], before: datetime) -> int:
    old = list(Push.objects.to_purge(before).filter(pk__in=ids))
    for push in old:
        if push.was_started:
            _blank(push)
        else:
            drafting.delete(push)
    return len(old)


def _blank(push: Push) -> None:
    last = 0
    while last < push.rows:
        rows = PushRow.objects.of_push(push.pk).filter(number__gt=last, number__lte=last + BATCH)
        rows.update(content="", reason="")
        last += BATCH
    reasons = {kind: one | {"examples": []} for kind, one in push.report.get("reasons", {}).items()}
    Push.objects.filter(pk=push.pk).update(report=push.report | {"reasons": reasons}, purged_at=clock.now())
