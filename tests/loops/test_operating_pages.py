"""The pages on which an operator cancels, retries and signals runs and settles deliveries."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db.models import F
from django.test import Client
from django.utils import timezone

from integrations.models import Attempt, AttemptState, Integration
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from loops.models import Loop, Run
from loops.operating import cancel
from mobius.projects.auditing import SYSTEM
from mobius.projects.models import AuditEvent, Project
from tests.cast import work_off
from tests.loops.flow import BROKEN, LOST, begin, fresh, go, loop_of
from tests.loops.runs import push, wait

pytestmark = pytest.mark.django_db
RUNS = "/projects/platform/operate/runs/"
DELIVERIES = "/projects/platform/operate/deliveries/"


@pytest.fixture
def operator(client: Client, bob: User) -> Client:
    client.force_login(bob)
    return client


@pytest.fixture
def waiting(project: Project, integration: Integration, clay: ClaySimulator) -> Run:
    return go(project, push(), wait())


@pytest.fixture
def failed(project: Project, integration: Integration, clay: ClaySimulator) -> Run:
    clay.next_answers(Behaviour(fail=401))
    return go(project, push())


@pytest.fixture
def doubt(project: Project, integration: Integration, clay: ClaySimulator) -> Attempt:
    clay.next_answers(LOST)
    go(project, push())
    return Attempt.objects.get()


def shown(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200, response
    return str(response.content.decode())


# --- the run page offers what can be done ---


def test_a_run_offers_what_can_be_done_to_it(operator: Client, waiting: Run) -> None:
    page = shown(operator, f"{RUNS}{waiting.pk}/")
    assert f"{waiting.pk}/cancel/" in page
    assert f"{waiting.pk}/signal/" in page
    assert f"{waiting.pk}/retry/" not in page

    cancel(waiting, by=SYSTEM)
    page = shown(operator, f"{RUNS}{waiting.pk}/")
    assert not [verb for verb in ("cancel", "signal", "retry") if f"{waiting.pk}/{verb}/" in page]


def test_a_failed_run_offers_to_retry_and_when_it_runs_out_of_time_to_resume(
    operator: Client, project: Project, failed: Run
) -> None:
    assert "Retry</a>" in shown(operator, f"{RUNS}{failed.pk}/")
    late = begin(loop_of(project, wait(), limits={"wall_clock_timeout": "1s"}))
    with time_machine.travel(timezone.now() + timedelta(minutes=1), tick=True):
        work_off()
    assert "Resume</a>" in shown(operator, f"{RUNS}{late.pk}/")


def test_the_buttons_come_with_the_live_parts_of_the_page(operator: Client, waiting: Run) -> None:
    assert "part-actions" in shown(operator, f"{RUNS}{waiting.pk}/live/")


def test_a_viewer_is_offered_nothing(client: Client, vera: User, doubt: Attempt) -> None:
    client.force_login(vera)
    page = shown(client, f"{RUNS}{doubt.run_id}/") + shown(client, f"{DELIVERIES}{doubt.pk}/")

    assert not [verb for verb in ("cancel", "signal", "retry", "settle") if f"/{verb}/" in page]


# --- cancel ---


def test_cancel_asks_and_then_goes_back_to_the_run(operator: Client, waiting: Run) -> None:
    address = f"{RUNS}{waiting.pk}/cancel/"
    assert "cannot be brought back" in shown(operator, address)
    assert fresh(waiting).status == "suspended"

    response = operator.post(address, {"reason": "not needed"}, follow=True)

    assert response.redirect_chain == [(f"{RUNS}{waiting.pk}/", 302)]
    page = response.content.decode()
    assert "The run is cancelled." in page
    assert "A row was created in the table before that." in page
    event = AuditEvent.objects.get(action="run.cancel")
    assert (event.actor_id, event.ip, event.reason) == ("bob", "127.0.0.1", "not needed")


def test_a_run_that_was_cancelled_in_doubt_says_that_a_row_may_have_been_created(
    operator: Client, doubt: Attempt
) -> None:
    page = operator.post(f"{RUNS}{doubt.run_id}/cancel/", {}, follow=True).content.decode()

    assert "A row may have been created in the table." in page


# --- retry ---


def test_retry_goes_on(operator: Client, failed: Run) -> None:
    response = operator.post(f"{RUNS}{failed.pk}/retry/", {"reason": "token mended"}, follow=True)
    work_off()

    assert "The run goes on from where it failed." in response.content.decode()
    assert fresh(failed).status == "completed"


def test_a_retry_that_cannot_be_says_why(operator: Client, waiting: Run) -> None:
    response = operator.post(f"{RUNS}{waiting.pk}/retry/", {})

    assert response.status_code == 422
    assert "Only a run that has failed can go on" in response.content.decode()


def test_a_run_out_of_time_asks_for_seconds(operator: Client, project: Project) -> None:
    run = begin(loop_of(project, wait(), limits={"wall_clock_timeout": "1s"}))
    with time_machine.travel(timezone.now() + timedelta(minutes=1), tick=True):
        work_off()
        address = f"{RUNS}{run.pk}/retry/"
        assert "Seconds more" in shown(operator, address)
        assert operator.post(address, {}).status_code == 422
        assert operator.post(address, {"wall_clock_extend_seconds": "600"}).status_code == 302
        work_off()
        assert fresh(run).status == "suspended"
    assert AuditEvent.objects.filter(action="run.resume").count() == 1


def test_a_run_whose_step_failed_just_when_its_time_was_up_asks_for_seconds_too(operator: Client, failed: Run) -> None:
    Run.objects.filter(pk=failed.pk).update(wall_clock_deadline_at=F("completed_at"))
    address = f"{RUNS}{failed.pk}/retry/"

    assert "Resume</a>" in shown(operator, f"{RUNS}{failed.pk}/")
    assert "Seconds more" in shown(operator, address)
    assert operator.post(address, {"wall_clock_extend_seconds": "600"}).status_code == 302


# --- signal ---


def test_signal_takes_the_output_as_json(operator: Client, waiting: Run) -> None:
    address = f"{RUNS}{waiting.pk}/signal/"
    assert "what you write becomes its output" in shown(operator, address)
    assert operator.post(address, {"result": "{"}).status_code == 422

    assert operator.post(address, {"result": '{"score": 7}'}).status_code == 302
    work_off()

    assert fresh(waiting).result["wait"] == {"score": 7}


def test_where_nothing_waits_there_is_nothing_to_signal(operator: Client, failed: Run) -> None:
    response = operator.get(f"{RUNS}{failed.pk}/signal/", follow=True)

    assert "there is nothing to signal" in response.content.decode()


# --- settle ---


def test_a_doubt_is_settled_from_the_run_s_and_from_the_delivery_s_page(operator: Client, doubt: Attempt) -> None:
    address = f"{DELIVERIES}{doubt.pk}/settle/"
    assert address in shown(operator, f"{RUNS}{doubt.run_id}/")
    assert address in shown(operator, f"{DELIVERIES}{doubt.pk}/")


def test_settling_warns_of_a_second_row_and_of_credits_beforehand(operator: Client, doubt: Attempt) -> None:
    page = shown(operator, f"{DELIVERIES}{doubt.pk}/settle/")

    assert f"the request_id {doubt.request_id} in the table first" in page
    assert "the table then has it twice, and enrichments spend their credits twice" in page


@pytest.mark.parametrize(
    ("decision", "state"), [("arrived", "accepted"), ("send_again", "abandoned"), ("give_up", "abandoned")]
)
def test_each_decision_is_carried_out(operator: Client, doubt: Attempt, decision: str, state: str) -> None:
    address = f"{DELIVERIES}{doubt.pk}/settle/"

    response = operator.post(address, {"decision": decision, "reason": "looked"}, follow=True)

    assert response.redirect_chain == [(f"{RUNS}{doubt.run_id}/", 302)]
    assert Attempt.objects.get().state == state
    assert "Settled by bob" in shown(operator, f"{DELIVERIES}{doubt.pk}/")
    again = operator.post(address, {"decision": "give_up", "reason": "too late"})
    assert again.status_code == 422
    assert "This delivery is not in doubt. Settled by bob" in again.content.decode()


@pytest.mark.parametrize("fields", [{"reason": "x"}, {"decision": "arrived"}, {"decision": "maybe", "reason": "x"}])
def test_without_decision_and_reason_nothing_is_settled(
    operator: Client, doubt: Attempt, fields: dict[str, str]
) -> None:
    assert operator.post(f"{DELIVERIES}{doubt.pk}/settle/", fields).status_code == 422
    assert Attempt.objects.get().state == AttemptState.IN_DOUBT


def test_the_page_of_a_failed_run_s_doubt_says_what_a_retry_will_do(
    operator: Client, project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(BROKEN)
    run = go(project, push())
    address = f"{DELIVERIES}{Attempt.objects.get().pk}/settle/"
    assert f"{run.pk}/retry/" not in shown(operator, f"{RUNS}{run.pk}/"), "the doubt comes first"
    assert "a retry of the run goes on after it" in shown(operator, address)

    page = operator.post(address, {"decision": "arrived", "reason": "looked"}, follow=True).content.decode()

    assert "Retry the run to go on" in page
    assert f"{run.pk}/retry/" in page


def test_the_page_of_a_cancelled_run_s_doubt_promises_no_retry(
    operator: Client, project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(LOST)
    run = go(project, push())
    cancel(run, by=SYSTEM)
    address = f"{DELIVERIES}{Attempt.objects.get().pk}/settle/"

    page = shown(operator, address)
    assert "It arrived — the row counts as accepted, and the run stays cancelled." in page
    assert "Give up — the row counts as not sent, and the run stays cancelled." in page
    assert "this one is cancelled. So choose another." in page

    settled = operator.post(address, {"decision": "arrived", "reason": "looked"}, follow=True).content.decode()
    assert "Settled: It arrived." in settled
    assert "Retry the run" not in settled


def test_what_is_not_in_doubt_has_nothing_to_settle(operator: Client, waiting: Run) -> None:
    response = operator.get(f"{DELIVERIES}{Attempt.objects.get().pk}/settle/", follow=True)

    assert "not in doubt, so there is nothing to settle" in response.content.decode()


# --- who may ---


def test_only_operators_of_the_project_come_to_these_pages(
    client: Client, vera: User, charlie: User, doubt: Attempt
) -> None:
    run = f"{RUNS}{doubt.run_id}/"
    addresses = [f"{run}cancel/", f"{run}retry/", f"{run}signal/", f"{DELIVERIES}{doubt.pk}/settle/"]
    for address in addresses:
        client.logout()
        assert client.post(address).status_code == 302
        client.force_login(vera)
        assert (client.get(address).status_code, client.post(address).status_code) == (403, 403)
        client.force_login(charlie)
        assert client.post(address).status_code == 404
        assert client.post(address.replace("platform", "elsewhere")).status_code == 404
    assert Attempt.objects.get().state == AttemptState.IN_DOUBT


# --- loops ---


def test_a_loop_that_paused_itself_says_why(
    operator: Client, project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(Behaviour(fail=401))
    go(project, push(), limits={"pause_after_consecutive_failures": 1})

    page = shown(operator, f"/projects/platform/build/loops/{Loop.objects.get().pk}/")

    assert "This loop paused itself" in page
    assert "1 run failed, the last with: Clay answered 401" in page


def test_a_run_in_its_loop_s_queue_says_what_it_waits_for(operator: Client, project: Project) -> None:
    loop = loop_of(project, wait(), concurrency="queue")
    begin(loop)
    queued = begin(loop)

    assert "It waits for an earlier run of its loop to end" in shown(operator, f"{RUNS}{queued.pk}/")


def test_a_replaced_run_says_so(operator: Client, project: Project) -> None:
    loop = loop_of(project, wait(), concurrency="replace")
    first = begin(loop)
    begin(loop)

    assert "It was replaced by a newer run of its loop." in shown(operator, f"{RUNS}{first.pk}/")
