"""A test there and back in a browser: the stage "Called back" turns green by itself, and is green after a reload."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from integrations.models import Integration
from integrations.providers.clay.simulator import ClaySimulator
from loops.models import Callback

OpenAs = Callable[[User, str], Page]
Check = Callable[[Page], None]


@pytest.fixture
def address(integration: Integration, clay: ClaySimulator, live_server: Any, settings: Any) -> str:
    """Of an integration whose table calls back, some time after the page of the test was drawn."""
    settings.MOBIUS_PUBLIC_URL = live_server.url
    clay.change(callbacks=True, callback_delay=1.5)
    return f"/projects/platform/govern/integrations/{integration.pk}/"


def test_the_last_stage_turns_green_when_clay_calls_back_and_stays_green(
    open_as: OpenAs, alice: User, address: str, clay: ClaySimulator, assert_sound: Check
) -> None:
    page = open_as(alice, address)
    page.get_by_role("button", name="Test there and back").click()

    expect(page.get_by_role("heading", name="Waiting for Clay to call back…")).to_be_visible()
    expect(page.get_by_text("Waiting", exact=True)).to_be_visible()
    page.get_by_text("What to set in Clay").click()
    expect(page.get_by_text("Status codes to retry")).to_be_visible()

    expect(page.get_by_role("heading", name="Clay has called back")).to_be_visible()
    expect(page.locator("#announcer")).to_have_text("Clay has called back.")
    expect(page).to_have_title("Clay has called back · clay · platform · Mobius")
    expect(page.get_by_text("Waiting", exact=True)).to_have_count(0)
    assert len(clay.rows) == 1
    assert_sound(page)

    page.reload()
    expect(page.get_by_role("heading", name="Clay has called back")).to_be_visible()
    page.get_by_role("link", name=Callback.objects.get().pk).click()
    expect(page.get_by_text("It answers the row of a test there and back.")).to_be_visible()
    assert_sound(page)


def test_it_is_sound_while_it_waits(
    open_as: OpenAs, alice: User, address: str, clay: ClaySimulator, assert_sound: Check
) -> None:
    clay.change(callbacks=False)
    page = open_as(alice, address)
    page.get_by_role("button", name="Test there and back").click()
    page.get_by_text("What to set in Clay").click()

    assert_sound(page)


def test_without_a_script_a_reload_shows_what_came(
    unscripted: OpenAs, alice: User, address: str, clay: ClaySimulator
) -> None:
    page = unscripted(alice, address)
    page.get_by_role("button", name="Test there and back").click()
    expect(page.get_by_role("heading", name="Waiting for Clay to call back…")).to_be_visible()

    page.wait_for_timeout(2000)
    page.get_by_role("link", name="Load this page anew").click()

    expect(page.get_by_role("heading", name="Clay has called back")).to_be_visible()
