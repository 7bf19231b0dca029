"""What needs a person about integrations: budgets that run out, webhooks that refuse, rows in doubt."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import Count

from integrations.models import Attempt, Integration, IntegrationStatus, Webhook
from integrations.usage import Usage
from mobius.alerting.conditions import Condition, Finding

DOUBT_LASTS = timedelta(minutes=5)
"""A younger doubt may still be settled by a callback or a late answer."""
_FAILING, _PAUSED = 1, 2


def find(now: datetime) -> Iterator[Finding]:
    """In three statements."""
    yield from _budgets()
    yield from _failing()
    yield from _doubts(now)


def _budgets() -> Iterator[Finding]:
    for webhook in Webhook.objects.half_used():
        integration = webhook.integration
        assert integration is not None  # the statement asks for it
        # What is in doubt counts as used; how much of it that is does not matter here.
        usage = Usage(used=webhook.used, possibly_used=0, in_flight=0, limit=webhook.submission_limit, forecast_at=None)
        if usage.mark:
            yield Finding(
                project_id=integration.project_id,
                condition=Condition.BUDGET,
                object_id=integration.pk,
                object_name=integration.name,
                level=usage.mark,
                summary=f"{usage.mark} % of {usage.limit:,} rows used",
                detail="Once all are used the webhook takes no more rows, ever.",
                to_do="Stage a successor, if there is none: the URL of another table, which takes over at the limit.",
            )


def _failing() -> Iterator[Finding]:
    """Flagged or paused by the console. What is held since a restore was held by whoever restored it."""
    for integration in Integration.objects.needing_a_person():
        paused = integration.status != IntegrationStatus.ACTIVE
        yield Finding(
            project_id=integration.project_id,
            condition=Condition.INTEGRATION,
            object_id=integration.pk,
            object_name=integration.name,
            level=_PAUSED if paused else _FAILING,
            summary="paused, and its rows wait" if paused else "a row was refused, and others may be",
            detail=integration.attention,
            to_do="Mend what it says, then test the webhook: a test that succeeds lets the rows go on.",
        )


def _doubts(now: datetime) -> Iterator[Finding]:
    old = Attempt.objects.in_doubt().made_before(now - DOUBT_LASTS).filter(project__deleted_at=None)
    for project_id, count in old.order_by().values_list("project").annotate(Count("pk")):
        yield Finding(
            project_id=project_id,
            condition=Condition.ROWS_IN_DOUBT,
            object_id=project_id,
            object_name="",
            summary="1 row is in doubt" if count == 1 else f"{count:,} rows are in doubt",
            detail="They were sent and no answer came, so each may or may not be in its table. They are never sent "
            "again by themselves.",
            to_do="Look for each row in the table, then settle it: it arrived, or send it again.",
        )
