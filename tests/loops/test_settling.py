"""A person settles a doubt: the row arrived, it may be sent again, or it is given up."""

from __future__ import annotations

import pytest

from integrations import probing
from integrations.models import Attempt, AttemptState, Integration, LedgerEntry, Webhook
from integrations.providers.clay.simulator import ClaySimulator
from integrations.settling import Decision, NotInDoubt
from loops import callbacks
from loops.models import Run, RunStatus, StepStatus
from loops.operating import cancel
from loops.retrying import retry
from loops.settling import NothingToSend, settle
from loops.sweeping import sweep
from mobius.errors import InvalidFields
from mobius.projects.auditing import SYSTEM
from mobius.projects.models import AuditEvent, Project
from tests.cast import work_off
from tests.loops.flow import BROKEN, LOST, NO_ANSWER, begin, fresh, go, loop_of, step_of
from tests.loops.runs import attempts_of, push, wait

pytestmark = pytest.mark.django_db
ARRIVED, SEND_AGAIN, GIVE_UP = Decision.ARRIVED, Decision.SEND_AGAIN, Decision.GIVE_UP


def say(decision: Decision, attempt: Attempt | None = None, reason: str = "looked into the table") -> Attempt:
    return settle(attempt or Attempt.objects.get(), decision, reason=reason, by=SYSTEM)


@pytest.fixture
def in_doubt(project: Project, integration: Integration, clay: ClaySimulator) -> Run:
    """A run that waits because nobody knows whether its row arrived. (It did not.)"""
    clay.next_answers(LOST)
    run = go(project, push(), push("after"))
    assert (run.status, step_of(run).error_type) == (RunStatus.SUSPENDED, "delivery_in_doubt")
    return run


def test_arrived_completes_the_step_without_another_post(in_doubt: Run, clay: ClaySimulator) -> None:
    settled = say(ARRIVED)
    work_off()

    assert settled.state == AttemptState.ACCEPTED
    assert settled.error_message == "Settled by Mobius console: the row arrived. looked into the table"
    done = fresh(in_doubt)
    assert (done.status, done.result["push"]) == (
        RunStatus.COMPLETED,
        {"ok": True, "request_id": f"push-{in_doubt.pk}"},
    )
    assert [row.body["request_id"] for row in clay.rows] == [f"after-{in_doubt.pk}"]
    assert Webhook.objects.get().used == 2


def test_send_again_sends_the_row_once_more_as_a_new_attempt(in_doubt: Run, clay: ClaySimulator) -> None:
    settled = say(SEND_AGAIN)
    assert settled.state == AttemptState.ABANDONED
    assert (Webhook.objects.get().used, LedgerEntry.objects.count()) == (0, 0)
    work_off()

    assert fresh(in_doubt).status == RunStatus.COMPLETED
    assert [row.body["request_id"].partition("-")[0] for row in clay.rows] == ["push", "after"]
    pushes = [one for one in attempts_of(in_doubt) if one.step_id.endswith(":push")]
    assert [(one.number, one.state) for one in pushes] == [(1, AttemptState.ABANDONED), (2, AttemptState.ACCEPTED)]
    assert Webhook.objects.get().used == 2


def test_a_row_that_is_sent_again_may_come_into_doubt_again(in_doubt: Run, clay: ClaySimulator) -> None:
    clay.next_answers(LOST)
    say(SEND_AGAIN)
    work_off()
    assert step_of(in_doubt).error_type == "delivery_in_doubt"

    say(SEND_AGAIN, attempts_of(in_doubt)[-1])
    work_off()

    assert fresh(in_doubt).status == RunStatus.COMPLETED
    assert step_of(in_doubt).attempt == 3


def test_give_up_fails_the_step_at_once_and_frees_the_unit(in_doubt: Run, clay: ClaySimulator) -> None:
    settled = say(GIVE_UP, reason="not worth it")
    work_off()

    assert settled.state == AttemptState.ABANDONED
    failed = fresh(in_doubt)
    assert (failed.status, failed.error_type) == (RunStatus.FAILED, "delivery_abandoned")
    assert "not worth it" in failed.error_message
    assert step_of(in_doubt).status == StepStatus.FAILED
    assert (clay.rows, Webhook.objects.get().used, LedgerEntry.objects.count()) == ([], 0, 0)


def test_a_row_given_up_can_be_sent_by_a_later_retry(in_doubt: Run, clay: ClaySimulator) -> None:
    say(GIVE_UP)

    retry(fresh(in_doubt), by=SYSTEM)
    work_off()

    assert fresh(in_doubt).status == RunStatus.COMPLETED
    assert len(clay.rows) == 2


@pytest.mark.parametrize("reason", ["", "  "])
def test_without_a_reason_nothing_is_settled(in_doubt: Run, reason: str) -> None:
    with pytest.raises(InvalidFields, match="Say how you know"):
        say(ARRIVED, reason=reason)

    assert Attempt.objects.get().state == AttemptState.IN_DOUBT
    assert not AuditEvent.objects.filter(object_kind="delivery").exists()


def test_who_settled_it_and_why_is_audited(in_doubt: Run) -> None:
    attempt = say(GIVE_UP)

    event = AuditEvent.objects.get(object_kind="delivery")
    assert (event.action, event.object_id, event.object_name) == ("delivery.give_up", attempt.pk, f"push-{in_doubt.pk}")
    assert event.reason == "looked into the table"


def test_whoever_comes_second_is_told_what_happened(in_doubt: Run) -> None:
    stale = Attempt.objects.get()
    say(ARRIVED)

    with pytest.raises(NotInDoubt, match="Settled by Mobius console: the row arrived") as refusal:
        say(SEND_AGAIN, stale)

    assert refusal.value.details == {"delivery_id": stale.pk, "state": "accepted"}
    assert Webhook.objects.get().used == 1
    assert AuditEvent.objects.filter(object_kind="delivery").count() == 1


def test_a_callback_that_was_quicker_has_settled_it(in_doubt: Run, project: Project) -> None:
    callbacks.receive_by_request_id(project, {"request_id": f"push-{in_doubt.pk}"})

    with pytest.raises(NotInDoubt, match="Settled by a callback"):
        say(SEND_AGAIN)


def test_a_row_that_was_accepted_is_not_in_doubt(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    go(project, push())

    with pytest.raises(NotInDoubt, match="It is accepted"):
        say(GIVE_UP)


def test_the_same_row_of_another_run_goes_on_when_the_doubt_is_settled(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    step = push()
    step["config"]["parameters"]["request_id"] = "same"
    clay.next_answers(LOST)
    loop = loop_of(project, step)
    first, second = begin(loop), begin(loop)
    work_off()
    assert step_of(second).error_type == "same_row"

    say(GIVE_UP)
    sweep()
    work_off()

    assert fresh(first).status == RunStatus.FAILED
    assert fresh(second).status == RunStatus.COMPLETED
    assert len(clay.rows) == 1


class TestAfterTheRunHasFailed:
    """An answer of 5xx fails the step at once; what the decision says is what a retry may do."""

    @pytest.fixture
    def failed(self, project: Project, integration: Integration, clay: ClaySimulator) -> Run:
        clay.next_answers(BROKEN)
        run = go(project, push())
        assert (run.status, Attempt.objects.get().state) == (RunStatus.FAILED, AttemptState.IN_DOUBT)
        return run

    def test_arrived_lets_a_retry_go_on_after_it(self, failed: Run, clay: ClaySimulator) -> None:
        say(ARRIVED)
        assert fresh(failed).status == RunStatus.FAILED

        retry(fresh(failed), by=SYSTEM)
        work_off()

        assert fresh(failed).status == RunStatus.COMPLETED
        assert "status_code" not in fresh(failed).result["push"], "the 500 is not how the row was accepted"
        assert len(clay.rows) == 1

    @pytest.mark.parametrize("decision", [SEND_AGAIN, GIVE_UP])
    def test_not_arrived_lets_a_retry_send_it_again(self, failed: Run, clay: ClaySimulator, decision: Decision) -> None:
        say(decision)
        assert (fresh(failed).status, Webhook.objects.get().used) == (RunStatus.FAILED, 0)

        retry(fresh(failed), by=SYSTEM)
        work_off()

        assert fresh(failed).status == RunStatus.COMPLETED
        assert [one.number for one in attempts_of(failed)] == [1, 2]

    def test_a_retry_between_doubt_and_decision_does_not_come_through(self, failed: Run) -> None:
        say(ARRIVED)
        retry(fresh(failed), by=SYSTEM)

        with pytest.raises(NotInDoubt):
            say(SEND_AGAIN)


def test_of_a_cancelled_run_it_can_be_said_that_the_row_arrived_but_not_sent_again(
    in_doubt: Run, clay: ClaySimulator
) -> None:
    cancel(in_doubt, by=SYSTEM)

    with pytest.raises(NothingToSend, match="this one is cancelled"):
        say(SEND_AGAIN)
    assert Attempt.objects.get().state == AttemptState.IN_DOUBT
    say(ARRIVED)
    work_off()

    assert fresh(in_doubt).status == RunStatus.CANCELLED
    assert Webhook.objects.get().used == 1


def test_a_test_in_doubt_can_be_settled_too(integration: Integration, clay: ClaySimulator) -> None:
    clay.next_answers(NO_ANSWER)
    attempt = probing.probe(integration).attempt

    with pytest.raises(NothingToSend, match="belongs to no run"):
        say(SEND_AGAIN, attempt)
    say(ARRIVED, attempt)

    assert Attempt.objects.get().state == AttemptState.ACCEPTED


def test_a_count_that_a_person_set_to_zero_does_not_go_below_it(in_doubt: Run) -> None:
    Webhook.objects.update(used=0)

    say(GIVE_UP)

    assert Webhook.objects.get().used == 0


def test_a_run_that_waits_for_something_else_is_not_moved(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, push(), wait())
    Attempt.objects.update(state=AttemptState.IN_DOUBT)

    say(GIVE_UP)
    work_off()

    assert fresh(run).status == RunStatus.SUSPENDED
    assert step_of(run, "wait").status == StepStatus.SUSPENDED
