"""Govern in a real browser: how the pages look, and the whole life of an integration by keyboard alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from integrations import connecting, succession
from integrations.choosing import open_connection
from integrations.connecting import current_webhook
from integrations.forms import Options
from integrations.models import Integration, Webhook
from integrations.probing import probe
from integrations.providers.clay.simulator import ClaySimulator
from integrations.providers.contract import Connection
from loops.models import Loop
from loops.starting import Start, start_run
from mobius.projects.keys import create_key
from mobius.projects.models import Project
from mobius.projects.roles import Role
from tests.browser.keyboard import Keyboard
from tests.cast import PASSWORD, work_off

LIST = "/projects/platform/govern/integrations/"
CONNECT = f"{LIST}clay/connect/"
KEYS = "/projects/platform/govern/api-keys/"

OpenAs = Callable[[User, str], Page]
Check = Callable[[Page], None]


def test_the_empty_list_is_sound(open_as: OpenAs, alice: User, assert_sound: Check) -> None:
    page = open_as(alice, LIST)

    expect(page.get_by_role("table", name="Capability map of Clay")).to_be_visible()
    assert_sound(page)


def test_the_list_is_sound(open_as: OpenAs, alice: User, integration: Integration, assert_sound: Check) -> None:
    page = open_as(alice, LIST)

    expect(page.get_by_role("rowheader", name="clay")).to_be_visible()
    assert_sound(page)


def test_the_connect_page_is_sound_with_and_without_mistakes(open_as: OpenAs, alice: User, assert_sound: Check) -> None:
    page = open_as(alice, CONNECT)
    expect(page.get_by_role("textbox", name="Webhook URL")).to_be_focused()
    page.get_by_text("Options").click()
    assert_sound(page)

    page.get_by_role("textbox", name="Submission limit").fill("many")
    page.get_by_role("button", name="Test and connect").click()

    summary = page.get_by_role("alert")
    expect(summary).to_be_focused()
    expect(page.get_by_role("textbox", name="Submission limit")).to_be_visible()  # its fold opened by itself
    assert_sound(page)
    summary.get_by_role("link", name="Webhook URL").click()
    expect(page.get_by_role("textbox", name="Webhook URL")).to_be_focused()


def test_the_token_box_fills_in_the_header_and_takes_it_back(open_as: OpenAs, alice: User, project: Project) -> None:
    page = open_as(alice, CONNECT)
    name = page.get_by_role("textbox", name="Auth header name")

    page.get_by_label("This webhook needs a token").check()
    expect(name).to_have_value("x-clay-webhook-auth")
    expect(page.get_by_label("Auth header value")).to_be_focused()

    page.get_by_label("This webhook needs a token").uncheck()
    expect(name).to_have_value("")


@pytest.mark.parametrize("outcome", ["accepted", "refused"])
def test_the_page_of_an_integration_is_sound_after_a_test(
    open_as: OpenAs, alice: User, integration: Integration, clay: ClaySimulator, assert_sound: Check, outcome: str
) -> None:
    clay.change(token="other" if outcome == "refused" else "")
    page = open_as(alice, f"{LIST}{integration.pk}/")

    page.get_by_role("button", name="Test webhook").click()

    expect(page.get_by_role("heading", name=f"Clay {outcome} the test row")).to_be_visible()
    assert_sound(page)


def test_a_double_click_sends_one_row(
    open_as: OpenAs, alice: User, integration: Integration, clay: ClaySimulator
) -> None:
    clay.change(slow=0.5)
    page = open_as(alice, f"{LIST}{integration.pk}/")

    page.get_by_role("button", name="Test webhook").dblclick()

    expect(page.get_by_role("heading", name="Clay accepted the test row")).to_be_visible()
    assert len(clay.rows) == 1


@pytest.mark.parametrize("place", ["rotate", "settings", "disconnect"])
def test_the_pages_that_change_an_integration_are_sound(
    open_as: OpenAs, alice: User, integration: Integration, assert_sound: Check, place: str
) -> None:
    probe(integration)
    connecting.pause(integration)

    assert_sound(open_as(alice, f"{LIST}{integration.pk}/{place}/"))


@pytest.mark.parametrize("place", ["", "successor/", "queue/"])
def test_the_pages_of_a_budget_that_goes_to_its_end_are_sound(
    open_as: OpenAs,
    alice: User,
    integration: Integration,
    push_leads: Loop,
    clay: ClaySimulator,
    assert_sound: Check,
    place: str,
) -> None:
    succession.stage(integration, Connection(webhook_url=clay.url_for("next")), Options())
    Webhook.objects.filter(state="current").update(submission_limit=1000, used=975)
    connecting.pause(integration)
    start_run(loop=push_leads, start=Start(event={"email": "ada@example.com"}, meta={}, config={}, source={}))
    work_off()

    assert_sound(open_as(alice, f"{LIST}{integration.pk}/{place}"))


def test_the_pages_of_api_keys_are_sound(open_as: OpenAs, alice: User, project: Project, assert_sound: Check) -> None:
    create_key(project=project, name="Clay", role=Role.RUN)
    page = open_as(alice, KEYS)
    assert_sound(page)

    page.get_by_role("textbox", name="Name").fill("the CRM")
    page.get_by_role("radio", name=re.compile("^Operator")).check()
    page.get_by_role("button", name="Create key").click()
    expect(page.get_by_role("heading", name="Copy the API key now")).to_be_visible()
    assert_sound(page)

    page.get_by_role("link", name="I have saved it").click()
    page.get_by_role("link", name="Revoke the CRM").click()
    assert_sound(page)
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("status").filter(has_text="The key the CRM is revoked.")).to_be_visible()


def test_without_a_script_everything_still_works(
    browser: Any, live_server: Any, alice: User, clay: ClaySimulator
) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(f"{live_server.url}/login/?next={CONNECT}")
    page.get_by_role("textbox", name="Username").fill("alice")
    page.get_by_role("textbox", name="Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()

    page.get_by_role("textbox", name="Webhook URL").fill(f"curl {clay.url} -H 'x-clay-webhook-auth: t'")
    page.get_by_role("button", name="Test and connect").click()

    expect(page.get_by_role("heading", name="Clay accepted the test row")).to_be_visible()
    assert clay.rows[0].headers["x-clay-webhook-auth"] == "t"
    page.context.close()


# --- by keyboard alone ----------------------------------------------------------------------------------------------


def test_the_whole_life_of_an_integration_by_keyboard(
    page: Page, live_server: Any, alice: User, clay: ClaySimulator
) -> None:
    clay.change(token="first")
    keyboard = Keyboard(page)
    page.goto(f"{live_server.url}/login/?next={LIST}")
    keyboard.write("Username", "alice")
    keyboard.write("Password", PASSWORD)
    page.keyboard.press("Enter")

    keyboard.press("link", "Connect Clay")
    page.wait_for_url("**/clay/connect/")
    page.get_by_role("heading", name="Connect Clay").wait_for()
    page.evaluate("document.activeElement.blur()")  # the field has the focus already: Tab would leave it
    keyboard.paste("Webhook URL", f"curl -X POST \\\n  '{clay.url}' \\\n  -H 'x-clay-webhook-auth: first' -d '{{}}'")
    keyboard.sees("Took the URL and the header x-clay-webhook-auth from the curl command.")
    expect(page.get_by_role("textbox", name="Webhook URL")).to_have_value(clay.url)
    keyboard.press("button", "Test and connect")
    keyboard.sees("Clay accepted the test row")
    assert clay.rows[0].headers["x-clay-webhook-auth"] == "first"

    keyboard.press("button", "Test webhook")
    expect(page.get_by_text("Accepted", exact=True)).to_have_count(3)  # the result and two deliveries

    keyboard.press("button", "Pause")
    keyboard.sees("clay is paused.")
    keyboard.press("link", "Resume")
    keyboard.sees("No row waits to go out through clay.")
    keyboard.press("button", "Resume")
    keyboard.sees("clay sends again.")

    clay.change(token="second")
    keyboard.press("link", "Rotate")
    keyboard.sees("Rotate the auth header")
    keyboard.write("Auth header value", "second")
    keyboard.press("button", "Test and rotate")
    keyboard.sees("uses the new auth header from now on. It was tested and accepted.")
    assert open_connection(current_webhook(Integration.objects.get())).auth_header_value == "second"

    keyboard.press("link", "Disconnect")
    keyboard.write("Name of the integration", "clay")
    keyboard.press("button", "Disconnect")
    keyboard.sees("clay is disconnected")
    assert not Integration.objects.exists()
    assert len(clay.rows) == 3
