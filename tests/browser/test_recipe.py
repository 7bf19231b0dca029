"""The recipe of a loop in a browser: from the loop to a key that is copied, and on to what Clay sent by it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from integrations.models import Integration
from loops.authoring import create_loop
from loops.models import Loop, Run
from mobius.commands.demo import LOOP as ENRICH_LEAD
from mobius.projects.models import Project

OpenAs = Callable[[User, str], Page]
Check = Callable[[Page], None]


@pytest.fixture
def enrich_lead(project: Project, live_server: Any, settings: Any) -> Loop:
    settings.MOBIUS_PUBLIC_URL = live_server.url
    return create_loop(project=project, authored=ENRICH_LEAD)


def copied(page: Page, name: str) -> str:
    """What the button puts into the clipboard."""
    page.get_by_role("button", name=name, exact=True).first.click()
    expect(page.locator("#announcer")).to_have_text("Copied")
    page.evaluate("document.getElementById('announcer').textContent = ''")
    return str(page.evaluate("navigator.clipboard.readText()"))


def post(address: str, header: str, body: str) -> int:
    """Clay's column runs, over a socket."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    connection.request("POST", parts.path, body, {"Authorization": header, "Content-Type": "application/json"})
    status = connection.getresponse().status
    connection.close()
    return status


def test_from_the_loop_to_a_key_and_on_to_the_first_call_and_what_is_wrong_with_it(
    open_as: OpenAs, alice: User, enrich_lead: Loop, assert_sound: Check
) -> None:
    page = open_as(alice, f"/projects/platform/build/loops/{enrich_lead.pk}/")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("link", name="Call it from Clay").click()
    expect(page.get_by_role("heading", name="Waiting for Clay's first call…")).to_be_visible()
    assert_sound(page)

    page.get_by_role("button", name="Make a key of the role run").first.click()
    expect(page.get_by_role("heading", name="Copy the header value now")).to_be_visible()
    assert_sound(page)
    header = copied(page, "Copy")
    address, body = copied(page, "Copy endpoint"), copied(page, "Copy body")
    assert header.startswith("Bearer mbx_")
    page.evaluate("window.notReloaded = true")

    assert post(address, header, body) == 202

    expect(page.get_by_role("heading", name="Clay's last call")).to_be_visible()
    row = page.get_by_role("row", name="email")
    expect(row).to_contain_text("Not filled in")
    expect(row).to_contain_text("{{Email}}")
    expect(page.locator("#announcer")).to_have_text("Something has arrived. See what came.")
    assert page.evaluate("window.notReloaded")
    assert_sound(page)

    picked = json.loads(body.replace("{{Email}}", "ada@example.com").replace("{{Clay Row ID}}", "r_1"))
    assert post(address, header, json.dumps(picked | {"event": picked["event"] | {"company_domain": "x.test"}})) == 202

    expect(row).to_contain_text("ada@example.com")
    expect(page.get_by_text("Needs a look")).to_have_count(0)
    assert Run.objects.count() == 2


def test_a_recipe_with_every_door_open_and_its_list_are_sound(
    open_as: OpenAs, alice: User, vera: User, enrich_lead: Loop, integration: Integration, assert_sound: Check
) -> None:
    for person in (alice, vera):
        page = open_as(person, f"/projects/platform/build/loops/{enrich_lead.pk}/recipe/")
        page.evaluate("document.querySelectorAll('main details').forEach((details) => (details.open = true))")
        assert_sound(page)
        assert_sound(open_as(person, f"/projects/platform/govern/integrations/{integration.pk}/recipe/"))


def test_the_integration_leads_to_the_recipe(
    open_as: OpenAs, alice: User, enrich_lead: Loop, integration: Integration
) -> None:
    page = open_as(alice, f"/projects/platform/govern/integrations/{integration.pk}/")

    page.get_by_role("link", name="Recipe").click()
    page.get_by_role("link", name="enrich-lead").click()

    expect(page.get_by_role("heading", name="Call enrich-lead from Clay")).to_be_visible()
