"""The waiting rows of an integration on their page and over the API."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client

from integrations import connecting
from integrations.models import Integration, Pacer, Webhook
from integrations.providers.clay.simulator import ClaySimulator
from loops.models import Loop, Run, RunStatus
from loops.starting import Start, start_run
from loops.sweeping import sweep
from mobius.projects.roles import Role
from tests.cast import Api, work_off


@pytest.fixture
def address(integration: Integration) -> str:
    return f"/projects/platform/govern/integrations/{integration.pk}/"


@pytest.fixture
def waiting(integration: Integration, push_leads: Loop) -> list[Run]:
    """Twelve runs whose rows wait at the paused integration."""
    connecting.pause(integration)
    runs = [
        start_run(loop=push_leads, start=Start(event={"email": str(n)}, meta={}, config={}, source={})).run
        for n in range(12)
    ]
    work_off()
    return runs


def words(page: bytes) -> str:
    return " ".join(page.decode().split())


# --- the page ---


@pytest.mark.usefixtures("waiting")
def test_the_page_states_number_budget_and_duration_before_anything_is_done(admin: Client, address: str) -> None:
    Pacer.objects.update(rate_per_second=0.1, burst=2)

    page = words(admin.get(f"{address}queue/").content)

    assert "12 rows wait to go out through clay." in page
    assert "Sending them uses 12 of the 50,000 submissions that are left." in page
    assert "Sending them takes 2 minutes at 0.1 rows a second" in page
    assert "Discard 12 rows" in page
    assert "no-store" in admin.get(f"{address}queue/").headers["Cache-Control"]


@pytest.mark.usefixtures("waiting")
@pytest.mark.parametrize(("wait", "then"), [(True, "7 rows would wait"), (False, "7 rows would fail")])
def test_the_page_says_when_the_budget_is_too_small(admin: Client, address: str, wait: bool, then: str) -> None:
    Webhook.objects.update(submission_limit=5)
    Integration.objects.update(wait_at_limit=wait)

    assert f"only 5 submissions left: {then}" in words(admin.get(f"{address}queue/").content)


@pytest.mark.usefixtures("waiting")
def test_a_passthrough_has_no_budget_to_state(admin: Client, address: str) -> None:
    Webhook.objects.update(submission_limit=None)

    page = words(admin.get(f"{address}queue/").content)

    assert "The webhook has no submission limit." in page
    assert "Nothing paces them: sending them takes moments." in page


def test_resume_leads_there_and_sends_them(
    admin: Client, address: str, waiting: list[Run], clay: ClaySimulator
) -> None:
    assert f'href="{address}queue/"' in admin.get(address).content.decode()
    assert f'action="{address}resume/"' in admin.get(f"{address}queue/").content.decode()

    admin.post(f"{address}resume/")
    sweep()
    work_off()

    assert [row.body["email"] for row in clay.rows] == [str(number) for number in range(12)]


def test_discarding_cancels_the_runs_and_says_how_many(
    admin: Client, address: str, waiting: list[Run], clay: ClaySimulator
) -> None:
    page = words(admin.post(f"{address}queue/discard/", follow=True).content)

    assert "12 rows discarded: nothing was sent, and the runs are cancelled." in page
    assert "No row waits" in page
    assert set(Run.objects.values_list("status", flat=True)) == {RunStatus.CANCELLED}
    assert clay.rows == []
    run_page = words(admin.get(f"/projects/platform/operate/runs/{waiting[0].pk}/").content)
    assert "It was cancelled. alice discarded the rows that waited at clay; this row was not sent." in run_page


def test_an_empty_queue_offers_nothing_to_discard(admin: Client, address: str) -> None:
    page = words(admin.get(f"{address}queue/").content)

    assert "No row waits to go out through clay." in page
    assert "Discard" not in page


def test_who_may_see_and_do_what(
    client: Client, charlie: User, vera: User, bob: User, address: str, waiting: list[Run]
) -> None:
    look, discard = f"{address}queue/", f"{address}queue/discard/"
    assert client.get(look).headers["Location"].startswith("/login/")
    assert client.post(discard).headers["Location"].startswith("/login/")
    client.force_login(charlie)
    for path in (look, discard, look.replace("platform", "elsewhere")):
        assert client.get(path).status_code in (404, 405)
    assert client.post(discard).status_code == 404
    assert client.post(discard.replace("platform", "elsewhere")).status_code == 404
    client.force_login(vera)
    assert "Discard" not in client.get(look).content.decode()
    assert client.post(discard).status_code == 403
    assert Run.objects.filter(status=RunStatus.SUSPENDED).count() == 12
    client.force_login(bob)
    page = client.get(look).content.decode()
    assert "Discard 12 rows" in page
    assert f'action="{address}resume/"' not in page, "only admins resume"
    assert client.get(discard).status_code == 405
    assert client.post(discard).status_code == 302


# --- the API ---


@pytest.mark.usefixtures("waiting")
def test_the_api_states_the_same(api: Api, integration: Integration) -> None:
    Pacer.objects.update(rate_per_second=0.1, burst=2)
    Webhook.objects.update(submission_limit=5)

    answer = api.get(f"{api.root}/integrations/{integration.pk}/queue").json()

    assert answer.pop("usage")["left"] == 5
    assert answer == {"rows": 12, "over_budget": 7, "rate_per_second": 0.1, "seconds": 100.0}


def test_the_api_discards(api: Api, integration: Integration, waiting: list[Run]) -> None:
    answer = api.post(f"{api.root}/integrations/{integration.pk}/queue/discard", {})

    assert (answer.status_code, answer.json()) == (200, {"discarded": 12})
    run = Run.objects.get(pk=waiting[0].pk)
    assert (run.status, run.error_message.split(" discarded ")[0]) == ("cancelled", api.key.record.name)
    assert api.post(f"{api.root}/integrations/{integration.pk}/queue/discard", {}).json() == {"discarded": 0}


@pytest.mark.usefixtures("waiting")
def test_a_wrong_body_discards_nothing(api: Api, integration: Integration) -> None:
    answer = api.post(f"{api.root}/integrations/{integration.pk}/queue/discard", {"rows": 3})

    assert answer.status_code == 400
    assert Run.objects.filter(status=RunStatus.SUSPENDED).count() == 12


@pytest.mark.usefixtures("waiting")
@pytest.mark.parametrize(
    ("role", "statuses"),
    [(Role.VIEWER, (200, 403)), (Role.OPERATOR, (200, 200)), (Role.RUN, (403, 403)), (Role.CALLBACK, (403, 403))],
)
def test_roles(api_as: Callable[[Role], Api], integration: Integration, role: Role, statuses: tuple[int, int]) -> None:
    api = api_as(role)
    queue = f"{api.root}/integrations/{integration.pk}/queue"

    assert (api.get(queue).status_code, api.post(f"{queue}/discard", {}).status_code) == statuses


@pytest.mark.usefixtures("waiting")
def test_another_project_s_queue_is_not_found(stranger_api: Api, integration: Integration) -> None:
    queue = f"{stranger_api.root}/integrations/{integration.pk}/queue"

    for answer in (stranger_api.get(queue), stranger_api.post(f"{queue}/discard", {})):
        assert (answer.status_code, answer.json()["error"]["message"]) == (404, "There is no such integration.")
    assert Run.objects.filter(status=RunStatus.SUSPENDED).count() == 12
