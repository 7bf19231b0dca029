"""What needs a person about integrations."""

from __future__ import annotations

from datetime import timedelta

import pytest

from integrations import connecting, holding
from integrations.conditions import DOUBT_LASTS, find
from integrations.models import Attempt, Integration, Webhook
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from mobius import clock
from mobius.alerting.conditions import Finding
from mobius.projects.models import Project
from tests.loops.flow import NO_ANSWER, go, push

pytestmark = pytest.mark.django_db


def found(later: timedelta = timedelta()) -> list[tuple[str, int, str]]:
    return [(one.condition, one.level, one.summary) for one in findings(later)]


def findings(later: timedelta = timedelta()) -> list[Finding]:
    return list(find(clock.now() + later))


def fill(integration: Integration, used: int, limit: int | None) -> None:
    Webhook.objects.filter(integration=integration).update(used=used, submission_limit=limit)


def test_nothing_is_wrong_with_what_works(integration: Integration) -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("used", "mark"), [(24_999, 0), (25_000, 50), (37_500, 75), (45_000, 90), (48_500, 97), (50_000, 100)]
)
def test_a_budget_is_found_at_its_marks(integration: Integration, used: int, mark: int) -> None:
    fill(integration, used, 50_000)
    assert found() == ([("budget", mark, f"{mark} % of 50,000 rows used")] if mark else [])


def test_what_has_no_limit_never_runs_out(integration: Integration) -> None:
    fill(integration, 1_000_000, None)
    assert found() == []


def test_a_limit_that_is_no_even_number_has_marks_too(integration: Integration) -> None:
    fill(integration, 1, 3)
    assert found() == []
    fill(integration, 2, 3)
    assert found() == [("budget", 50, "50 % of 3 rows used")]


def test_refusals_flag_an_integration_and_then_pause_it(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    for level in (1, 1, 2):
        clay.next_answers(Behaviour(fail=401))
        go(project, push())
        ((condition, found_level, _),) = found()
        assert (condition, found_level) == ("integration", level)

    assert "401" in findings()[0].detail


def test_a_person_s_pause_is_nobody_s_alarm(integration: Integration) -> None:
    connecting.pause(integration)
    assert found() == []


def test_what_is_held_since_a_restore_is_nobody_s_alarm(integration: Integration) -> None:
    holding.hold_all(taken_at=clock.now(), now=clock.now())
    assert found() == []


def test_a_doubt_is_found_once_nothing_has_settled_it_for_some_minutes(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(NO_ANSWER)
    go(project, push())
    assert found() == []
    later = DOUBT_LASTS + timedelta(seconds=1)
    assert found(later) == [("rows_in_doubt", 1, "1 row is in doubt")]

    Attempt.objects.update(state="accepted")
    assert found(later) == []


def test_a_deleted_project_needs_nobody(project: Project, integration: Integration) -> None:
    fill(integration, 50_000, 50_000)
    Project.objects.update(deleted_at=clock.now())
    assert found() == []
