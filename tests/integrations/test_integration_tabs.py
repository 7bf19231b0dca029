"""The pages of one integration, side by side as tabs: what went out, what came back, who did what."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from integrations import connecting
from integrations.connecting import connect
from integrations.forms import Options
from integrations.models import Attempt, Integration
from integrations.providers.clay.simulator import ClaySimulator
from integrations.providers.contract import Connection
from integrations.providers.registry import get_provider
from loops import callbacks
from mobius.projects.models import Project
from tests.loops.flow import go, push, waiting

pytestmark = pytest.mark.django_db

TABS = ["", "deliveries/", "callbacks/", "recipe/", "settings/", "activity/"]


@pytest.fixture
def address(integration: Integration) -> str:
    return f"/projects/platform/govern/integrations/{integration.pk}/"


def text(response: Any) -> str:
    return " ".join(response.content.decode().split())


@pytest.mark.parametrize("tab", TABS)
def test_every_page_leads_to_the_others_and_says_which_one_is_open(admin: Client, address: str, tab: str) -> None:
    page = text(admin.get(address + tab))

    assert [f'href="{address}{other}"' in page for other in TABS] == [True] * len(TABS)
    assert page.count(f'<a href="{address}{tab}" aria-current="page">') == 1


def test_who_may_not_change_the_settings_is_not_led_to_them(client: Client, vera: User, address: str) -> None:
    client.force_login(vera)

    assert f"{address}settings/" not in text(client.get(address))
    assert client.get(f"{address}deliveries/").status_code == 200


@pytest.mark.parametrize("tab", TABS)
def test_strangers_find_nothing(client: Client, charlie: User, address: str, tab: str) -> None:
    client.force_login(charlie)

    assert client.get(address + tab).status_code == 404


def test_deliveries_and_callbacks_are_those_of_this_integration(
    admin: Client, project: Project, integration: Integration, clay: ClaySimulator, address: str
) -> None:
    through_clay = go(project, push(), waiting())
    other = connect(
        project=project,
        provider=get_provider("clay"),
        connection=Connection(webhook_url=clay.url_for("other")),
        options=Options(name="other"),
    )
    through_other = go(
        project,
        push(row={"payload": {"email": "a@b.c"}, "request_id": "${{ meta.run_id }}", "integration": "other"}),
        waiting(),
    )
    for run in (through_clay, through_other):
        callbacks.receive_by_request_id(project, {"request_id": str(Attempt.objects.get(run_id=run.pk).request_id)})

    for tab in ("deliveries/", "callbacks/"):
        page = text(admin.get(address + tab))
        assert (through_clay.pk in page, through_other.pk in page) == (True, False)
        theirs = text(admin.get(address.replace(integration.pk, other.pk) + tab))
        assert (through_clay.pk in theirs, through_other.pk in theirs) == (False, True)


def test_what_is_looked_for_is_looked_for_in_this_integration(
    admin: Client, project: Project, address: str, clay: ClaySimulator
) -> None:
    attempt = Attempt.objects.get(run_id=go(project, push()).pk)

    assert attempt.pk in text(admin.get(f"{address}deliveries/", {"q": attempt.request_id, "state": "accepted"}))
    assert "No delivery fits" in text(admin.get(f"{address}deliveries/", {"state": "in_doubt"}))
    assert "No callback fits" in text(admin.get(f"{address}callbacks/", {"q": "nobody"}))
    assert admin.get(f"{address}deliveries/", {"cursor": "nonsense"}).status_code == 400


def test_what_was_done_to_it_is_told_with_who_did_it(
    admin: Client, integration: Integration, other_project: Project, address: str
) -> None:
    connecting.pause(integration, reason="The table is being rebuilt.")

    page = text(admin.get(f"{address}activity/"))

    assert "integration.pause" in page
    assert "The table is being rebuilt." in page
    assert admin.get(f"{address}activity/", {"cursor": "nonsense"}).status_code == 400


@pytest.mark.parametrize("tab", TABS)
def test_each_page_asks_a_bounded_number_of_questions(
    admin: Client, project: Project, address: str, tab: str, clay: ClaySimulator, django_assert_max_num_queries: Any
) -> None:
    for _ in range(3):
        go(project, push())

    with django_assert_max_num_queries(12):
        admin.get(address + tab)
