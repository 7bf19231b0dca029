"""The pages of bulk jobs: what they ask, what they show while a job goes, and who may."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from integrations.models import Attempt, Integration
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from loops import bulk
from loops.models import BulkJob, Run
from mobius.projects.models import Project
from tests.cast import work_off
from tests.loops.flow import BROKEN, LOST, fresh, go
from tests.loops.runs import push, wait

pytestmark = pytest.mark.django_db
OPERATE = "/projects/platform/operate/"
RETRY = f"{OPERATE}runs/all/retry/"
CANCEL = f"{OPERATE}runs/all/cancel/"
SETTLE = f"{OPERATE}deliveries/all/settle/"


@pytest.fixture
def operator(client: Client, bob: User) -> Client:
    client.force_login(bob)
    return client


@pytest.fixture
def failed(project: Project, integration: Integration, clay: ClaySimulator) -> Run:
    clay.next_answers(Behaviour(fail=400))
    return go(project, push())


@pytest.fixture
def doubt(project: Project, integration: Integration, clay: ClaySimulator) -> Attempt:
    clay.next_answers(LOST)
    go(project, push())
    return Attempt.objects.get()


def text(response: Any) -> str:
    return str(response.content.decode())


def asked_at(page: str) -> str:
    found = re.search(r'name="asked_at" value="([^"]+)"', page)
    assert found is not None, page
    return found[1]


def answer(client: Client, address: str, **body: str) -> Any:
    return client.post(address, {"asked_at": asked_at(text(client.get(address))), "reason": ""} | body, follow=True)


# --- works ---


def test_the_lists_offer_it_with_the_filters_that_are_set(operator: Client, failed: Run) -> None:
    page = text(operator.get(f"{OPERATE}runs/", {"status": "failed", "loop": failed.loop_id}))
    assert f'href="{RETRY}?status=failed&amp;loop={failed.loop_id}"' in page
    assert CANCEL not in page
    assert RETRY not in text(operator.get(f"{OPERATE}runs/"))


def test_the_rows_that_are_ticked_are_meant_and_no_others(
    operator: Client, project: Project, failed: Run, clay: ClaySimulator
) -> None:
    clay.next_answers(Behaviour(fail=401))
    another = go(project, push())
    page = text(operator.get(f"{OPERATE}runs/", {"status": "failed"}))
    assert f'name="id" value="{another.pk}" form="picked"' in " ".join(page.split())
    assert f'<form id="picked" method="get" action="{RETRY}">' in page

    asked = text(operator.get(RETRY, {"pick": "1", "status": "failed", "id": [another.pk, another.pk]}))
    assert "Retry 1 run?" in asked
    answer(operator, f"{RETRY}?pick=1&status=failed&id={another.pk}")
    while bulk.work_off():
        pass
    work_off()

    assert (fresh(another).status, fresh(failed).status) == ("completed", "failed")
    back = operator.get(f"{OPERATE}runs/?status=failed&id={failed.pk},{another.pk}")
    assert [one.run.pk for one in back.context["runs"]] == [failed.pk]


def test_several_are_ticked_at_once(operator: Client, project: Project, failed: Run, clay: ClaySimulator) -> None:
    clay.next_answers(Behaviour(fail=401))
    another = go(project, push())

    asked = text(operator.get(RETRY, {"pick": "1", "status": "failed", "id": [failed.pk, another.pk]}))

    assert "Retry 2 runs?" in asked
    assert f"id={another.pk}%2C{failed.pk}" in asked or f"id={failed.pk}%2C{another.pk}" in asked


def test_ticking_nothing_does_not_mean_everything(operator: Client, failed: Run) -> None:
    response = operator.get(RETRY, {"pick": "1", "status": "failed"}, follow=True)

    assert response.redirect_chain == [(f"{OPERATE}runs/?status=failed", 302)]
    assert "Nothing was ticked. Tick those to retry first." in text(response)
    assert operator.post(f"{RETRY}?pick=1&status=failed", {"reason": ""}).status_code == 302
    assert not BulkJob.objects.exists()


def test_deliveries_in_doubt_are_ticked_too_and_a_viewer_ticks_nothing(
    operator: Client, client: Client, vera: User, doubt: Attempt
) -> None:
    address = f"{OPERATE}deliveries/?state=in_doubt"
    assert f'value="{doubt.pk}"' in text(operator.get(address))
    assert "Settle 1 row in doubt?" in text(operator.get(SETTLE, {"pick": "1", "state": "in_doubt", "id": doubt.pk}))

    client.force_login(vera)
    assert 'id="picked"' not in text(client.get(address))
    assert 'type="checkbox"' not in text(client.get(address))


def test_the_question_states_number_budget_and_duration(operator: Client, failed: Run) -> None:
    Integration.objects.get().pacer.__class__.objects.update(rate_per_second=10, burst=1)

    page = text(operator.get(f"{RETRY}?status=failed"))

    assert "Retry 1 run?" in page
    assert "Through clay, at most 1 row." in page
    assert "of the 50,000 submissions that are left" in page
    assert "Sending them takes a moment at 10 rows a second" in page


def test_what_settling_sends_is_said_to_depend_on_the_answer(operator: Client, doubt: Attempt) -> None:
    page = text(operator.get(f"{SETTLE}?state=in_doubt"))

    assert "If sent again, through clay, at most 1 row." in page
    assert "Through clay" not in page


def test_a_retry_of_all_leads_to_a_page_that_shows_how_far_it_is(
    operator: Client, failed: Run, clay: ClaySimulator
) -> None:
    page = answer(operator, f"{RETRY}?status=failed")
    job = BulkJob.objects.get()
    assert page.redirect_chain == [(f"{OPERATE}bulk/{job.pk}/", 302)]
    assert 'hx-trigger="every 2s"' in text(page)
    assert "0 %" in text(operator.get(f"{OPERATE}bulk/{job.pk}/live/"))

    bulk.work_off()
    work_off()

    live = operator.get(f"{OPERATE}bulk/{job.pk}/live/")
    assert (live.status_code, live.headers["HX-Refresh"]) == (286, "true")
    page = operator.get(f"{OPERATE}bulk/{job.pk}/")
    assert "100 %" in text(page)
    assert "hx-get" not in text(page).split("<main", 1)[1]
    assert fresh(failed).status == "completed"


def test_runs_that_wait_are_cancelled(operator: Client, project: Project, integration: Integration, clay: Any) -> None:
    run = go(project, wait())
    assert f"{CANCEL}?status=suspended" in text(operator.get(f"{OPERATE}runs/", {"status": "suspended"}))

    answer(operator, f"{CANCEL}?status=suspended", reason="wrong file")
    bulk.work_off()

    assert fresh(run).status == "cancelled"


def test_deliveries_in_doubt_are_settled(operator: Client, doubt: Attempt) -> None:
    assert f"{SETTLE}?state=in_doubt" in text(operator.get(f"{OPERATE}deliveries/", {"state": "in_doubt"}))

    answer(operator, f"{SETTLE}?state=in_doubt", decision="give_up", reason="looked into the table")
    bulk.work_off()

    doubt.refresh_from_db()
    assert doubt.state == "abandoned"


def test_a_double_click_starts_one_job_and_both_lead_to_it(operator: Client, failed: Run) -> None:
    body = {"asked_at": asked_at(text(operator.get(RETRY))), "reason": ""}

    first, second = operator.post(RETRY, body), operator.post(RETRY, body)

    assert first.headers["Location"] == second.headers["Location"]
    assert BulkJob.objects.count() == 1


def test_a_job_can_be_stopped(operator: Client, failed: Run) -> None:
    answer(operator, RETRY)
    job = BulkJob.objects.get()

    page = operator.post(f"{OPERATE}bulk/{job.pk}/cancel/", follow=True)
    bulk.work_off()

    assert "It was stopped." in text(page)
    assert fresh(failed).status == "failed"


def test_what_was_left_alone_is_named_with_its_page_and_the_reason(
    operator: Client, project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(BROKEN)
    run = go(project, push())
    answer(operator, RETRY)
    bulk.work_off()

    page = text(operator.get(f"{OPERATE}bulk/{BulkJob.objects.get().pk}/"))

    assert f'href="{OPERATE}runs/{run.pk}/"' in page
    assert "Settle that delivery first" in page


def test_a_job_is_found_again_from_the_lists_and_among_all_jobs(operator: Client, failed: Run) -> None:
    assert "No bulk job yet" in text(operator.get(f"{OPERATE}bulk/"))
    answer(operator, RETRY)
    address = f'href="{OPERATE}bulk/{BulkJob.objects.get().pk}/"'
    assert address in text(operator.get(f"{OPERATE}runs/"))
    assert address in text(operator.get(f"{OPERATE}deliveries/"))

    bulk.work_off()

    assert address not in text(operator.get(f"{OPERATE}runs/"))
    jobs = text(operator.get(f"{OPERATE}bulk/"))
    assert address in jobs
    assert "Completed" in jobs


# --- refuses bad input, and says what is wrong ---


@pytest.mark.parametrize(
    ("body", "sentence"),
    [({"decision": "arrived"}, "Say how you know"), ({"reason": "looked"}, "This field is required")],
)
def test_settling_needs_a_decision_and_a_reason(
    operator: Client, doubt: Attempt, body: dict[str, str], sentence: str
) -> None:
    page = answer(operator, SETTLE, **body)

    assert page.status_code == 422
    assert sentence in text(page)
    assert not BulkJob.objects.exists()


def test_a_question_without_its_moment_is_refused(operator: Client, failed: Run) -> None:
    assert operator.post(RETRY, {"asked_at": "yesterday"}).status_code == 422
    assert not BulkJob.objects.exists()


@pytest.mark.parametrize("wrong", [f"{RETRY}?from=yesterday", f"{CANCEL}?status=suspnded", f"{SETTLE}?state=lost"])
def test_a_filter_that_cannot_be_read_finds_nothing_instead_of_everything(operator: Client, wrong: str) -> None:
    assert operator.get(wrong).status_code == 400
    assert operator.post(wrong, {"asked_at": "2026-01-01T00:00:00Z"}).status_code == 400


def test_nothing_that_fits_is_said_before_and_after(operator: Client, project: Project, failed: Run) -> None:
    address = f"{RETRY}?q=another"
    assert "Nothing fits these filters" in text(operator.get(address))

    page = operator.post(address, {"asked_at": asked_at(text(operator.get(RETRY))), "reason": ""})

    assert page.status_code == 422
    assert not BulkJob.objects.exists()


def test_a_second_job_is_told_of_the_first(operator: Client, failed: Run) -> None:
    answer(operator, RETRY)
    job = BulkJob.objects.get()
    page = text(operator.get(RETRY))
    assert f"{OPERATE}bulk/{job.pk}/" in page

    page = operator.post(RETRY, {"asked_at": asked_at(page), "reason": ""})

    assert page.status_code == 422
    assert "A bulk job of this project is running" in text(page)


# --- refuses strangers ---


def test_a_viewer_sees_a_job_and_can_neither_start_nor_stop_one(
    client: Client, vera: User, bob: User, failed: Run
) -> None:
    client.force_login(bob)
    answer(client, RETRY)
    job = BulkJob.objects.get()
    client.force_login(vera)

    assert client.get(f"{OPERATE}bulk/{job.pk}/").status_code == 200
    assert "Stop the job" not in text(client.get(f"{OPERATE}bulk/{job.pk}/"))
    assert client.post(f"{OPERATE}bulk/{job.pk}/cancel/").status_code == 403
    assert {client.get(address).status_code for address in (RETRY, CANCEL, SETTLE)} == {403}
    assert "all/retry/" not in text(client.get(f"{OPERATE}runs/", {"status": "failed"}))


def test_a_job_of_another_project_is_not_found(client: Client, bob: User, charlie: User, failed: Run) -> None:
    client.force_login(bob)
    answer(client, RETRY)
    job = BulkJob.objects.get()
    client.force_login(charlie)

    assert client.get(f"{OPERATE}bulk/{job.pk}/").status_code == 404
    assert client.get(f"/projects/elsewhere/operate/bulk/{job.pk}/").status_code == 404
    assert client.post(f"/projects/elsewhere/operate/bulk/{job.pk}/cancel/").status_code == 404
    assert client.get("/projects/elsewhere/operate/runs/all/retry/").context["number"] == 0


@pytest.mark.parametrize("address", [f"{RETRY}?status=failed&q=x", f"{SETTLE}?state=in_doubt"])
def test_the_question_is_few_questions_to_the_database(operator: Client, failed: Run, address: str) -> None:
    with CaptureQueriesContext(connection) as asked:
        operator.get(address)

    assert len(asked) <= 12
