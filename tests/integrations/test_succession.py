"""A staged and tested webhook takes over when the current one is full; the log and the ledger span both."""

from __future__ import annotations

import pytest
from django.db import transaction

from integrations import connecting, delivering, probing, succession
from integrations.delivering import AlreadyAccepted, NotNow, Sending, SubmissionLimitReached
from integrations.forms import UNLIMITED, Options
from integrations.models import (
    Attempt,
    AttemptState,
    Integration,
    IntegrationStatus,
    Webhook,
    WebhookSecret,
    WebhookState,
)
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from integrations.providers.contract import Connection
from integrations.providers.errors import NotConnected
from integrations.providers.registry import get_provider
from mobius import clock
from mobius.engine.gathering import gathering
from mobius.errors import Conflict
from mobius.projects.models import Project
from tests.integrations.rows import begin, deliver, finish, order, reserve


@pytest.fixture
def staged(integration: Integration, clay: ClaySimulator) -> Webhook:
    """The successor of `integration`: staged, not tested yet."""
    return succession.stage(integration, Connection(webhook_url=clay.url_for("next")), Options())


@pytest.fixture
def ready(integration: Integration, staged: Webhook) -> Webhook:
    """The successor of `integration`, tested with one row."""
    assert probing.probe(integration, webhook=staged).ok
    staged.refresh_from_db()
    return staged


def fill(integration: Integration, *, limit: int = 10) -> Webhook:
    """Let the current webhook be at its limit."""
    webhook = connecting.current_webhook(integration)
    Webhook.objects.filter(pk=webhook.pk).update(submission_limit=limit, used=limit)
    return webhook


def sources(clay: ClaySimulator) -> list[str]:
    return [row.source if row.source == "next" else "first" for row in clay.rows]


def test_the_row_that_meets_the_limit_goes_to_the_successor(
    project: Project, integration: Integration, ready: Webhook, clay: ClaySimulator
) -> None:
    full = fill(integration)

    outcome = deliver(project)

    full.refresh_from_db()
    ready.refresh_from_db()
    assert outcome.attempt.webhook_id == ready.pk
    assert (full.state, full.used, full.in_flight) == (WebhookState.RETIRED, 10, 0)
    assert (ready.state, ready.used, ready.in_flight) == (WebhookState.CURRENT, 2, 0)
    assert sources(clay) == ["next", "next"], "the test, then the row"
    assert list(WebhookSecret.objects.values_list("pk", flat=True)) == [ready.pk]


def test_rows_that_gather_notice_that_another_process_has_let_the_successor_take_over(
    project: Project, integration: Integration, ready: Webhook, clay: ClaySimulator
) -> None:
    full = fill(integration)
    with transaction.atomic(), gathering():
        parcel = delivering.prepare(order(project))
        Webhook.objects.filter(pk=full.pk).update(state=WebhookState.RETIRED)
        Webhook.objects.filter(pk=ready.pk).update(state=WebhookState.CURRENT)
        sending = delivering.reserve(parcel, now=clock.now())

    assert isinstance(sending, Sending)
    assert sending.parcel.chosen.webhook.pk == ready.pk


def test_a_successor_that_was_never_tested_does_not_take_over(
    project: Project, integration: Integration, staged: Webhook, clay: ClaySimulator
) -> None:
    fill(integration)

    with pytest.raises(SubmissionLimitReached, match="only once a test of it has succeeded"):
        reserve(order(project))

    assert clay.rows == []


def test_a_failed_test_does_not_make_it_ready_and_does_not_touch_the_integration(
    integration: Integration, staged: Webhook, clay: ClaySimulator
) -> None:
    clay.next_answers(*[Behaviour(fail=401)] * 3)

    for _ in range(3):
        assert not probing.probe(integration, webhook=staged).ok

    staged.refresh_from_db()
    integration.refresh_from_db()
    assert not staged.ready
    assert (integration.status, integration.attention) == (IntegrationStatus.ACTIVE, "")


def test_a_test_of_the_successor_does_not_resume_a_paused_integration(
    integration: Integration, staged: Webhook
) -> None:
    connecting.pause(integration)

    assert probing.probe(integration, webhook=staged).ok

    integration.refresh_from_db()
    assert integration.status == IntegrationStatus.INACTIVE


def test_the_ledger_spans_both(project: Project, integration: Integration, ready: Webhook, clay: ClaySimulator) -> None:
    deliver(project)
    fill(integration)
    deliver(project, {"payload": {"n": 2}})

    again = reserve(order(project))

    assert isinstance(again, AlreadyAccepted), "the first webhook has the row"
    assert sources(clay) == ["next", "first", "next"]


def test_the_log_spans_both(project: Project, integration: Integration, ready: Webhook) -> None:
    deliver(project)
    fill(integration)
    deliver(project, {"payload": {"n": 2}})

    assert integration.attempts.values("webhook").distinct().count() == 2


def test_a_row_prepared_before_the_change_goes_to_the_successor_all_the_same(
    project: Project, integration: Integration, ready: Webhook, clay: ClaySimulator
) -> None:
    early = delivering.prepare(order(project))
    fill(integration)
    deliver(project, {"payload": {"n": 2}})

    with transaction.atomic():
        answer = delivering.reserve(early, now=clock.now())

    assert isinstance(answer, Sending)
    assert finish(answer).attempt.webhook_id == ready.pk


def test_clay_s_own_limit_text_lets_the_successor_take_over_without_a_pause(
    project: Project, integration: Integration, ready: Webhook, clay: ClaySimulator
) -> None:
    clay.change(limit=1)  # the successor has had its test; the first webhook is full after one row
    deliver(project, {"payload": {"n": 1}})
    sending = begin(order(project, {"payload": {"n": 2}}))
    exchange = delivering.send(sending)
    delivery = delivering.weigh(sending, exchange)
    assert delivery.at_limit
    assert delivering.goes_to_successor(sending, delivery)

    with transaction.atomic():
        delivering.record(sending, exchange, delivery, now=clock.now())

    integration.refresh_from_db()
    ready.refresh_from_db()
    assert (integration.status, integration.attention) == (IntegrationStatus.ACTIVE, "")
    assert ready.state == WebhookState.CURRENT


def test_the_last_rows_of_a_retired_webhook_follow_and_pause_nothing(
    project: Project, integration: Integration, ready: Webhook, clay: ClaySimulator
) -> None:
    late = begin(order(project, {"payload": {"n": 1}}))
    fill(integration)
    deliver(project, {"payload": {"n": 2}})
    clay.change(limit=0)

    outcome = finish(late)

    integration.refresh_from_db()
    assert outcome.delivery.at_limit
    assert delivering.goes_to_successor(late, outcome.delivery)
    assert integration.status == IntegrationStatus.ACTIVE


def test_without_a_successor_the_limit_text_goes_nowhere(
    project: Project, integration: Integration, staged: Webhook, clay: ClaySimulator
) -> None:
    clay.change(limit=0)

    outcome = deliver(project)

    integration.refresh_from_db()
    assert not delivering.goes_to_successor(outcome.sending, outcome.delivery)
    assert integration.status == IntegrationStatus.INACTIVE


def test_rows_that_wait_at_the_limit_are_woken_once_a_successor_is_tested(
    project: Project, integration: Integration, staged: Webhook
) -> None:
    Integration.objects.update(wait_at_limit=True)
    full = fill(integration)
    answer = reserve(order(project))
    assert isinstance(answer, NotNow)
    assert answer.waits_for == full.pk
    assert delivering.room_at(full.pk, now=clock.now()) == 0

    probing.probe(integration, webhook=staged)

    assert delivering.room_at(full.pk, now=clock.now()) > 0
    assert deliver(project).attempt.webhook_id == staged.pk


def test_a_full_successor_without_one_of_its_own_ends_it(
    project: Project, integration: Integration, ready: Webhook
) -> None:
    fill(integration)
    deliver(project, {"payload": {"n": 1}})
    fill(integration)

    with pytest.raises(SubmissionLimitReached, match="connect its URL"):
        reserve(order(project, {"payload": {"n": 2}}))


# --- staging ---


def test_staging_another_replaces_the_first_and_erases_its_secret(
    integration: Integration, ready: Webhook, clay: ClaySimulator
) -> None:
    other = succession.stage(integration, Connection(webhook_url=clay.url_for("other")), Options())

    ready.refresh_from_db()
    assert ready.state == WebhookState.RETIRED
    assert not WebhookSecret.objects.filter(pk=ready.pk).exists()
    assert Webhook.objects.staged_for(integration) == other


def test_a_successor_that_is_staged_again_must_be_tested_again_and_keeps_its_count(
    integration: Integration, ready: Webhook, clay: ClaySimulator
) -> None:
    succession.unstage(integration)

    again = succession.stage(integration, Connection(webhook_url=clay.url_for("next")), Options())

    assert (again.pk, again.used, again.ready) == (ready.pk, 1, False)


def test_the_current_webhook_cannot_follow_itself(integration: Integration, clay: ClaySimulator) -> None:
    with pytest.raises(Conflict, match="Rows go to this webhook already"):
        succession.stage(integration, Connection(webhook_url=clay.url), Options())


def test_another_integration_s_webhook_cannot_be_staged(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    connecting.connect(
        project=project,
        provider=get_provider("clay"),
        connection=Connection(webhook_url=clay.url_for("sales")),
        options=Options(name="sales", rate_per_second=UNLIMITED),
    )

    with pytest.raises(Conflict, match="connected already, as sales"):
        succession.stage(integration, Connection(webhook_url=clay.url_for("sales")), Options())


def test_a_webhook_that_is_full_cannot_follow(integration: Integration, clay: ClaySimulator) -> None:
    with pytest.raises(Conflict, match="taken all of its 100 rows already"):
        succession.stage(
            integration,
            Connection(webhook_url=clay.url_for("old")),
            Options(submission_limit=100, submissions_used=100),
        )
    assert Webhook.objects.count() == 1


def test_removing_erases_the_secret_and_keeps_the_count(integration: Integration, ready: Webhook) -> None:
    succession.unstage(integration)

    ready.refresh_from_db()
    assert (ready.state, ready.used) == (WebhookState.RETIRED, 1)
    assert not WebhookSecret.objects.filter(pk=ready.pk).exists()
    with pytest.raises(Conflict, match="There is no successor"):
        succession.unstage(integration)


def test_a_removed_successor_can_no_longer_be_tested(integration: Integration, ready: Webhook) -> None:
    succession.unstage(integration)

    with pytest.raises(NotConnected):
        probing.probe(integration, webhook=ready)


def test_connecting_another_table_keeps_the_successor_for_that_table(
    project: Project, integration: Integration, ready: Webhook, clay: ClaySimulator
) -> None:
    connecting.connect(
        project=project, provider=get_provider("clay"), connection=Connection(webhook_url=clay.url_for("other"))
    )

    ready.refresh_from_db()
    current = connecting.current_webhook(integration)
    assert (ready.state, ready.destination) == (WebhookState.STAGED, current.destination)


def test_connecting_the_staged_url_puts_it_in_place(
    project: Project, integration: Integration, ready: Webhook, clay: ClaySimulator
) -> None:
    deliver(project)

    connecting.connect(
        project=project, provider=get_provider("clay"), connection=Connection(webhook_url=clay.url_for("next"))
    )

    assert connecting.current_webhook(integration) == ready
    assert isinstance(reserve(order(project)), AlreadyAccepted), "it shares the destination"


def test_disconnecting_forgets_the_successor_too(integration: Integration, ready: Webhook) -> None:
    connecting.disconnect(integration)

    assert not WebhookSecret.objects.exists()
    assert set(Webhook.objects.values_list("state", flat=True)) == {WebhookState.RETIRED}


def test_a_paused_integration_s_rows_do_not_use_the_successor_up(
    project: Project, integration: Integration, ready: Webhook
) -> None:
    fill(integration)
    connecting.pause(integration)

    answer = reserve(order(project))

    assert isinstance(answer, NotNow)
    assert answer.reason == "integration_paused"
    ready.refresh_from_db()
    assert ready.state == WebhookState.STAGED


def test_a_refused_row_s_first_attempt_is_kept_beside_the_second(
    project: Project, integration: Integration, ready: Webhook, clay: ClaySimulator
) -> None:
    clay.change(limit=1)
    deliver(project, {"payload": {"n": 1}})
    deliver(project, {"payload": {"n": 2}})
    clay.change(limit=50_000)
    deliver(project, {"payload": {"n": 2}})

    states = Attempt.objects.exclude(kind="test").order_by("pk").values_list("state", flat=True)
    assert list(states) == [AttemptState.ACCEPTED, AttemptState.REFUSED, AttemptState.ACCEPTED]
