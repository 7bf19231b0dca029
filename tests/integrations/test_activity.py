"""What became of a project's rows, day by day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from integrations.activity import Day, rows_by_day
from integrations.connecting import current_webhook
from integrations.models import Attempt, AttemptState, Integration
from mobius import ids
from mobius.ids import new_id
from mobius.projects.models import Project

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 28, tzinfo=UTC)


def sent(integration: Integration, at: datetime, state: AttemptState, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("mobius.ids.time.time_ns", lambda: int(at.timestamp() * 1_000_000_000))
        patch.setattr(ids, "_sequence", ids._Sequence())
        attempt_id = new_id("att")
    Attempt.objects.create(
        id=attempt_id,
        project=integration.project,
        integration=integration,
        webhook=current_webhook(integration),
        action="clay.webhook.submit",
        state=state,
        body_size=2,
        created_at=at,
    )


def test_rows_are_counted_by_the_day_on_which_their_sending_began_and_by_what_became_of_them(
    integration: Integration, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at, state in [
        (MIDNIGHT, AttemptState.ACCEPTED),
        (NOW, AttemptState.ACCEPTED),
        (NOW, AttemptState.IN_DOUBT),
        (NOW, AttemptState.SENDING),
        (MIDNIGHT - timedelta(milliseconds=1), AttemptState.REFUSED),
        (MIDNIGHT - timedelta(days=1), AttemptState.NOT_SENT),
        (MIDNIGHT - timedelta(hours=1), AttemptState.ABANDONED),
        (MIDNIGHT - timedelta(days=3), AttemptState.ACCEPTED),  # too long ago
    ]:
        sent(integration, at, state, monkeypatch)

    assert rows_by_day(integration.project, days=3, now=NOW) == (
        Day(date=date(2026, 11, 26), arrived=0, in_doubt=0, failed=0),
        Day(date=date(2026, 11, 27), arrived=0, in_doubt=0, failed=3),
        Day(date=date(2026, 11, 28), arrived=2, in_doubt=1, failed=0),
    )


def test_another_project_s_rows_are_not_counted(
    integration: Integration, other_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent(integration, NOW, AttemptState.ACCEPTED, monkeypatch)

    assert [day.total for day in rows_by_day(other_project, days=2, now=NOW)] == [0, 0]
