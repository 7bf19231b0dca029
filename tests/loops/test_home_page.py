"""A project's first page: what needs a person, what happened last, and what to do next."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.test import Client

from integrations.connecting import connect
from integrations.forms import Options
from integrations.models import Integration, IntegrationStatus, Webhook
from integrations.providers.clay.simulated_endpoint import Behaviour
from integrations.providers.clay.simulator import ClaySimulator
from integrations.providers.contract import Connection
from integrations.providers.registry import get_provider
from loops.models import Loop, Run
from loops.starting import Start, start_run
from mobius import clock
from mobius.alerting.watching import look
from mobius.projects.models import Membership, Project
from mobius.projects.roles import Role
from tests.cast import Api, work_off

pytestmark = pytest.mark.django_db

HOME = "/projects/platform/"


def text(response: Any) -> str:
    return str(response.content.decode())


def today() -> datetime:
    return datetime.now(UTC)


def begin(loop: Loop) -> Run:
    return start_run(loop=loop, start=Start(event={"email": "a@b.c"}, meta={}, config={}, source={})).run


def test_strangers_find_nothing_and_the_anonymous_are_asked_to_sign_in(client: Client, charlie: User) -> None:
    Project.objects.create(handle="platform", name="Platform")
    assert client.get(HOME).headers["Location"] == f"/login/?next={HOME}"

    client.force_login(charlie)

    assert client.get(HOME).status_code == 404


def test_signing_in_leads_to_the_project_in_which_a_run_was_started_last(
    admin: Client, alice: User, push_leads: Loop
) -> None:
    earlier = Project.objects.create(handle="default", name="Default")
    Membership.objects.create(project=earlier, user=alice, role=Role.ADMIN)
    Project.objects.create(handle="a-stranger-s", name="A stranger's")
    assert admin.get("/").headers["Location"] == "/projects/default/"

    begin(push_leads)

    assert admin.get("/").headers["Location"] == HOME


def test_the_page_teaches_one_step_after_the_other(
    admin: Client, clay: ClaySimulator, request: pytest.FixtureRequest
) -> None:
    assert "First, connect a Clay table" in text(admin.get(HOME))

    request.getfixturevalue("integration")
    assert "Next, write a loop" in text(admin.get(HOME))

    loop = request.getfixturevalue("push_leads")
    assert "Next, start a run" in text(admin.get(HOME))

    begin(loop)
    assert "Next, start a run" not in text(admin.get(HOME))
    assert "Latest runs" in text(admin.get(HOME))


def test_a_viewer_is_told_who_does_the_next_step(client: Client, vera: User) -> None:
    client.force_login(vera)

    page = text(client.get(HOME))

    assert "An admin of this project connects one" in page
    assert "Connect Clay" not in page


def pasted(command: str, key: str) -> list[str]:
    """What curl is called with once a shell has read the command."""
    script = f"curl() {{ printf '%s\\0' \"$@\"; }}\n{command}\n"
    environment = {"PATH": os.environ["PATH"], "MOBIUS_API_KEY": key}
    ran = subprocess.run(["sh"], input=script, env=environment, capture_output=True, text=True, timeout=10, check=True)
    assert ran.stderr == ""
    return ran.stdout.split("\0")[:-1]


@pytest.mark.parametrize("page", [HOME, f"{HOME}operate/runs/", f"{HOME}operate/deliveries/"])
def test_the_curl_works_when_it_is_pasted(
    admin: Client, api: Api, integration: Integration, clay: ClaySimulator, push_leads: Loop, page: str
) -> None:
    shown = re.search(r"<code[^>]*>(curl -X POST.*?)</code>", text(admin.get(page)), re.DOTALL)
    assert shown is not None
    _, method, address, _, key, _, content_type, _, body = pasted(html.unescape(shown[1]), api.key.text)

    client = Client(headers={"Authorization": key.partition(": ")[2]})
    response = client.post(
        address.removeprefix("http://console.test"), json.loads(body), content_type.partition(": ")[2]
    )

    assert (method, response.status_code) == ("POST", 202)
    work_off()
    assert clay.rows[0].body["email"] == "ada@example.com"


@pytest.mark.parametrize("page", ["runs", "deliveries"])
def test_an_empty_list_teaches_the_next_step_and_one_whose_filters_find_nothing_does_not(
    admin: Client, clay: ClaySimulator, request: pytest.FixtureRequest, page: str
) -> None:
    address = f"{HOME}operate/{page}/"
    assert "First, connect a Clay table" in text(admin.get(address))
    assert "First, connect a Clay table" not in text(admin.get(address, {"q": "x"}))

    request.getfixturevalue("integration")
    assert "Next, write a loop" in text(admin.get(address))


def test_rows_in_doubt_and_integrations_to_look_at_are_counted(
    admin: Client, integration: Integration, clay: ClaySimulator, push_leads: Loop
) -> None:
    assert "Nothing needs you" in text(admin.get(HOME))

    clay.next_answers(Behaviour(reset=True))
    begin(push_leads)
    work_off()
    Integration.objects.update(status=IntegrationStatus.INACTIVE, attention="Look at me <b>")
    page = admin.get(HOME)

    assert page.context["in_doubt"] == "1"
    assert page.context["attention"] == 1
    assert 'href="/projects/platform/operate/deliveries/?state=in_doubt">1</a>' in text(page)
    assert "Look at me &lt;b&gt;" in text(page)
    assert "1 of 50,000, 1 in doubt" in text(page)


def test_loops_whose_runs_fail_are_counted_and_lead_to_these_runs(
    admin: Client, alice: User, integration: Integration, clay: ClaySimulator, push_leads: Loop
) -> None:
    clay.next_answers(Behaviour(fail=400), Behaviour(fail=400))
    assert admin.get(HOME).context["failing"] == 0
    for _ in range(2):
        begin(push_leads)
    work_off()
    page = admin.get(HOME)

    assert page.context["failing"] == 1
    assert "Needs a person" in text(page)
    link = re.search(r'href="([^"]*status=failed[^"]*)">1</a>', text(page))
    assert link is not None
    assert len(admin.get(html.unescape(link[1])).context["page"].items) == 2
    with time_machine.travel(clock.now() + timedelta(days=2)):
        admin.force_login(alice)
        assert admin.get(HOME).context["failing"] == 0


def test_what_needs_a_person_is_listed_with_the_one_thing_to_do(
    admin: Client, integration: Integration, push_leads: Loop
) -> None:
    Webhook.objects.update(used=45_000)
    look(now=clock.now())

    page = text(admin.get(HOME))

    assert "Needs a person" in page
    assert f'<a href="/projects/platform/govern/integrations/{integration.pk}/">' in page
    assert "90 %" in page


def test_the_rows_of_the_last_days_are_drawn_and_stand_in_a_table(
    admin: Client, integration: Integration, clay: ClaySimulator, push_leads: Loop
) -> None:
    assert "Rows a day" not in text(admin.get(HOME))

    begin(push_leads)
    work_off()
    page = text(admin.get(HOME))

    assert 'aria-label="1 rows arrived in the last 14 days"' not in page
    assert 'aria-label="1 row arrived in the last 14 days"' in page
    assert f"<title>{today():%-d %B}: 1 arrived</title>" in page
    assert page.count('<td data-label="Arrived" class="num">1</td>') == 1


def test_the_page_asks_a_bounded_number_of_questions(
    admin: Client, integration: Integration, clay: ClaySimulator, push_leads: Loop, django_assert_max_num_queries: Any
) -> None:
    for name in ("second", "third", "fourth"):
        connect(
            project=integration.project,
            provider=get_provider("clay"),
            connection=Connection(webhook_url=clay.url_for(name)),
            options=Options(name=name),
        )
    for _ in range(30):
        begin(push_leads)

    with django_assert_max_num_queries(12):
        page = admin.get(HOME)

    assert len(page.context["runs"]) == 10
    assert len(page.context["integrations"]) == 4
