"""The triggers on a loop's page, and the secret that calls are signed with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.contrib.auth.models import User
from django.test import Client

from loops.authoring import update_loop
from loops.models import Loop, Run, Trigger
from loops.sweeping import sweep
from mobius.projects.models import Project
from tests.loops.flow import loop_of
from tests.loops.runs import wait

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 27, 12, 0, 30, tzinfo=UTC)
ALL = [
    {"kind": "manual"},
    {"kind": "http", "key": "form", "name": "Sign-up form"},
    {"kind": "schedule", "config": {"cron": "0 9 * * 1-5", "timezone": "Europe/Berlin"}},
    {"kind": "event", "config": {"event_type": "run.failed"}},
]


@pytest.fixture
def loop(project: Project) -> Loop:
    with time_machine.travel(NOON, tick=False):
        return loop_of(project, wait(), triggers=ALL)


def page_of(user: User, loop: Loop) -> str:
    client = Client()
    client.force_login(user)
    return client.get(f"/projects/platform/build/loops/{loop.pk}/").content.decode()


def test_the_page_shows_where_they_are_called_and_when_they_fire(alice: User, loop: Loop) -> None:
    shown = page_of(alice, loop)

    handle = Trigger.objects.get(key="form").http_handle
    assert f'data-copy="http://console.test/v1/triggers/http/{handle}"' in shown
    assert "Sign-up form" in shown
    assert "0 9 * * 1-5, Europe/Berlin" in shown
    assert "30 Nov 2026, 08:00:00 UTC" in shown
    assert "run.failed" in shown
    assert shown.count("never") >= 3


def test_the_page_shows_what_it_did_last(alice: User, project: Project) -> None:
    hourly = [{"kind": "schedule", "config": {"interval": "1h"}, "concurrency_policy": "skip"}]
    with time_machine.travel(NOON, tick=False):
        loop = loop_of(project, wait(), triggers=hourly)
    for hours in (1, 2):
        with time_machine.travel(NOON + timedelta(hours=hours), tick=False):
            sweep()
            if hours == 1:
                assert f"runs/{Run.objects.get().pk}/" in page_of(alice, loop)

    assert "It started no run" in page_of(alice, loop)


def test_a_viewer_sees_no_address_also_not_one_that_the_author_chose(vera: User, bob: User, loop: Loop) -> None:
    update_loop(loop, {"triggers": [{"kind": "http", "config": {"http_handle": "our-own-handle"}}]})

    assert "our-own-handle" in page_of(bob, loop)
    seen = page_of(vera, loop)
    assert "our-own-handle" not in seen
    assert "Only people who may start runs see it." in seen


def test_a_signature_is_demanded_and_its_secret_shown_once(alice: User, vera: User, charlie: User, loop: Loop) -> None:
    client = Client()
    client.force_login(alice)
    address = f"/projects/platform/build/loops/{loop.pk}/triggers/form/secret/"

    assert "refused with 401" in client.get(address).content.decode()
    made = client.post(address)
    assert (made.status_code, "Copy the signing secret now" in made.content.decode()) == (201, True)
    assert Trigger.objects.get(key="form").signed
    assert "demanded" in page_of(alice, loop)
    assert client.post(address.replace("secret", "unsigned")).status_code == 302
    assert not Trigger.objects.get(key="form").signed
    assert client.get(address.replace("form", "other")).status_code == 404

    for person, status in ((vera, 403), (charlie, 404)):
        stranger = Client()
        stranger.force_login(person)
        assert stranger.post(address).status_code == status
