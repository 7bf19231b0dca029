"""What a webhook has left, when it will be full, and when somebody should know."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from integrations import delivering
from integrations.configuring import configure
from integrations.connecting import connect, current_webhook
from integrations.forms import UNLIMITED, Options
from integrations.models import Attempt, AttemptState, Integration, Pacer, Webhook
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from integrations.providers.contract import Connection
from integrations.providers.registry import get_provider
from integrations.usage import Fullness, Usage, usage_of
from mobius import clock, ids
from mobius.projects.models import Project
from tests.integrations.rows import begin, deliver, order


def usage(webhook: Webhook) -> Usage:
    webhook.refresh_from_db()
    return usage_of(webhook, now=clock.now())


@pytest.fixture
def webhook(integration: Integration) -> Webhook:
    return current_webhook(integration)


def in_doubt(project: Project, clay: ClaySimulator, count: int = 1) -> None:
    clay.next_answers(*[Behaviour(reset=True)] * count)
    for number in range(count):
        deliver(project, {"payload": {"doubt": number}})


def test_used_possibly_used_in_flight_and_left_are_told_apart(
    project: Project, webhook: Webhook, clay: ClaySimulator
) -> None:
    Webhook.objects.update(submission_limit=100)
    for number in range(3):
        deliver(project, {"payload": {"n": number}})
    in_doubt(project, clay, 2)
    begin(order(project, {"payload": {"n": "on its way"}}))

    found = usage(webhook)

    assert (found.used, found.possibly_used, found.in_flight, found.left) == (3, 2, 1, 94)


@pytest.mark.parametrize(
    ("used", "fullness"),
    [
        (0, None),
        (499, None),
        (500, Fullness.HALF),
        (749, Fullness.HALF),
        (750, Fullness.THREE_QUARTERS),
        (900, Fullness.NEARLY_FULL),
        (969, Fullness.NEARLY_FULL),
        (970, Fullness.ALMOST_FULL),
        (999, Fullness.ALMOST_FULL),
        (1000, Fullness.FULL),
        (2000, Fullness.FULL),
    ],
)
def test_the_marks_are_50_75_90_97_and_the_end(webhook: Webhook, used: int, fullness: Fullness | None) -> None:
    Webhook.objects.update(submission_limit=1000, used=used)

    assert usage(webhook).fullness == fullness


def test_a_passthrough_table_has_no_limit_no_mark_and_no_forecast(webhook: Webhook) -> None:
    Webhook.objects.update(submission_limit=None, used=10**6)

    found = usage(webhook)

    assert (found.left, found.fullness, found.forecast_at) == (None, None, None)


def test_the_forecast_is_the_day_on_which_the_last_seven_days_pace_reaches_the_limit(
    project: Project, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ids, "_sequence", ids._Sequence())  # ours never goes back, whatever the clock does
    long_ago = timezone.now() - timedelta(days=30)
    with time_machine.travel(timezone.now() - timedelta(days=10)):
        for number in range(20):
            deliver(project, {"payload": {"older": number}})
    with time_machine.travel(timezone.now() - timedelta(days=3)):
        for number in range(14):
            deliver(project, {"payload": {"n": number}})
    Webhook.objects.update(created_at=long_ago, submission_limit=54)

    forecast = usage(webhook).forecast_at

    assert forecast is not None
    assert abs(forecast - (timezone.now() + timedelta(days=10))) < timedelta(hours=1), "20 left at 14 in seven days"


def test_too_few_rows_make_no_forecast(project: Project, webhook: Webhook) -> None:
    for number in range(9):
        deliver(project, {"payload": {"n": number}})

    assert usage(webhook).forecast_at is None


# --- calibrating ---


def test_clay_s_own_count_is_what_the_meter_shows_and_doubts_come_on_top(
    project: Project, integration: Integration, webhook: Webhook, clay: ClaySimulator
) -> None:
    in_doubt(project, clay, 2)

    configured = configure(integration, Options(submissions_used=4711))

    assert (usage(webhook).used, usage(webhook).possibly_used) == (4711, 2)
    assert configured.changes == {"submissions_used": (2, 4713)}


def test_a_doubt_that_ends_without_a_row_gives_its_unit_back_after_calibrating(
    project: Project, integration: Integration, webhook: Webhook, clay: ClaySimulator
) -> None:
    sending = begin(order(project))
    delivering.doubt_the_silent(now=clock.now())
    configure(integration, Options(submissions_used=100))
    clay.next_answers(Behaviour(fail=400))
    exchange = delivering.send(sending)

    delivering.record(sending, exchange, delivering.weigh(sending, exchange), now=clock.now())

    assert (usage(webhook).used, usage(webhook).possibly_used) == (100, 0)


def test_calibrating_leaves_what_is_on_its_way_in_flight(
    project: Project, integration: Integration, webhook: Webhook
) -> None:
    begin(order(project))

    configure(integration, Options(submissions_used=50))

    assert (usage(webhook).used, usage(webhook).in_flight) == (50, 1)


def test_a_webhook_that_was_used_before_starts_with_that_count(project: Project, clay: ClaySimulator) -> None:
    integration = connect(
        project=project,
        provider=get_provider("clay"),
        connection=Connection(webhook_url=clay.url),
        options=Options(submissions_used=49_000),
    )

    assert usage(current_webhook(integration)).left == 1_000


# --- settings ---


def test_only_what_is_given_is_set(integration: Integration, webhook: Webhook) -> None:
    configured = configure(integration, Options(burst=5, deduplicates=True))

    integration.refresh_from_db()
    assert (integration.pacer.burst, integration.deduplicates, integration.never_twice) == (5, True, True)
    assert configured.changes == {"burst": (18, 5), "deduplicates": (False, True)}


def test_pace_is_set_for_the_whole_workspace_and_a_new_label_starts_with_the_provider_s(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    other = connect(
        project=project,
        provider=get_provider("clay"),
        connection=Connection(webhook_url=clay.url_for("sales")),
        options=Options(name="sales"),
    )
    configure(integration, Options(rate_per_second=4.5, burst=3))
    other.pacer.refresh_from_db()
    assert (other.pacer.rate_per_second, other.pacer.burst) == (4.5, 3)

    configure(other, Options(workspace="elsewhere"))

    pacers = Pacer.objects.order_by("label").values_list("label", "rate_per_second", "burst")
    assert list(pacers) == [("default", 4.5, 3), ("elsewhere", 9.9, 18)]


def test_a_table_becomes_a_passthrough_and_back(integration: Integration, webhook: Webhook) -> None:
    configure(integration, Options(submission_limit=UNLIMITED))
    assert usage(webhook).limit is None

    configure(integration, Options(submission_limit=60_000))
    assert usage(webhook).limit == 60_000


def test_rows_in_doubt_count_against_the_limit(project: Project, webhook: Webhook, clay: ClaySimulator) -> None:
    Webhook.objects.update(submission_limit=1)
    in_doubt(project, clay)

    assert Attempt.objects.get().state == AttemptState.IN_DOUBT
    with pytest.raises(delivering.SubmissionLimitReached):
        begin(order(project, {"payload": {"n": 2}}))
