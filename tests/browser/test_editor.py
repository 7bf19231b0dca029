"""Editing a loop in a browser: from a value of its payload to the version that shows the change."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from loops.authoring import create_loop
from loops.models import Loop
from mobius.commands.demo import LOOP as ENRICH_LEAD
from mobius.projects.models import Project

OpenAs = Callable[[User, str], Page]
Check = Callable[[Page], None]

EVERY_KIND: list[dict[str, Any]] = [
    {"id": "nap", "kind": "sleep", "config": {"duration": "1m"}},
    {"id": "fit", "kind": "check", "config": {"checks": [{"name": "fits", "expr": "event.email != 'x'"}]}},
]


@pytest.fixture
def loop(project: Project, live_server: Any) -> Loop:
    return create_loop(project=project, authored=ENRICH_LEAD | {"steps": [*ENRICH_LEAD["steps"], *EVERY_KIND]})


def test_a_value_is_changed_previewed_and_saved_and_the_version_shows_it(
    open_as: OpenAs, alice: User, loop: Loop, assert_sound: Check
) -> None:
    page = open_as(alice, f"/projects/platform/build/loops/{loop.pk}/")
    page.get_by_role("link", name="Edit").click()
    assert_sound(page)

    value = page.get_by_label("Value of source")
    value.fill("${{ event.emial }}")
    beside = page.locator(f"#{value.get_attribute('id')}-preview")
    expect(beside).to_contain_text("did you mean event.email?")  # live, without a button
    assert_sound(page)
    value.fill("from ${{ event.email }}")
    page.get_by_role("button", name="Preview").first.click()
    expect(beside).to_have_text("Gives: from ada@example.com")

    page.get_by_role("button", name="Add a row to payload").click()
    expect(page.get_by_label("Key 4")).to_be_focused()
    page.get_by_label("Key 4").fill("City")
    page.get_by_label("Value of column-4").fill("${{ steps.nobody.output }}")
    page.get_by_role("button", name="Save a new version").first.click()
    expect(page.get_by_role("alert")).to_be_focused()
    page.get_by_role("link", name="Value of City").click()
    expect(page.get_by_label("Value of City")).to_be_focused()
    assert_sound(page)

    page.get_by_label("Value of City").fill("75001")
    page.get_by_label("Type of City").select_option("Number")
    page.get_by_role("button", name="Save a new version").first.click()
    expect(page.get_by_role("heading", name="Version 2 of enrich-lead")).to_be_visible()
    added = page.locator("tr.added")
    expect(added).to_have_count(2)
    expect(added.first).to_contain_text("from ${{ event.email }}")
    expect(added.last).to_contain_text('"City": 75001')
    assert_sound(page)

    page.get_by_role("link", name="enrich-lead").click()
    page.get_by_role("link", name="Version 1", exact=True).click()
    page.get_by_role("link", name="Make this the current version again").click()
    assert_sound(page)
    page.get_by_role("button", name="Make it current").click()
    expect(page.get_by_text("Saved as version 3")).to_be_visible()


def test_every_button_works_from_the_keyboard_and_without_javascript(
    unscripted: OpenAs, alice: User, loop: Loop
) -> None:
    page = unscripted(alice, f"/projects/platform/build/loops/{loop.pk}/edit/")

    page.get_by_role("button", name="Down: move step 1").press("Enter")
    expect(page.get_by_role("heading", name="2. Push the lead into Clay")).to_be_visible()
    page.get_by_role("button", name="Remove step 3").press("Enter")
    page.get_by_label("Name", exact=True).first.press("Enter")  # the first button of the form: it saves nothing
    expect(page.get_by_text("Gives: ada@example.com")).to_be_visible()
    page.get_by_role("button", name="Edit as JSON").first.press("Enter")
    expect(page.get_by_label("Loop", exact=True)).to_have_value(re.compile('"id": "answer"'))
    page.get_by_role("button", name="Edit as a form").press("Enter")
    page.get_by_label("Let Clay answer this row").uncheck()
    page.get_by_role("button", name="Remove step 1").press("Enter")
    page.get_by_role("button", name="Save a new version").first.press("Enter")

    expect(page.get_by_role("heading", name="Version 2 of enrich-lead")).to_be_visible()
    loop.refresh_from_db()
    assert loop.current_version is not None
    steps = loop.current_version.spec["steps"]
    assert [step["id"] for step in steps] == ["push", "fit"]
    assert "callback_url" not in steps[0]["config"]["parameters"]


def test_what_is_wrong_with_the_json_is_marked_in_it(
    open_as: OpenAs, alice: User, loop: Loop, assert_sound: Check
) -> None:
    page = open_as(alice, f"/projects/platform/build/loops/{loop.pk}/edit/json/")
    assert_sound(page)
    field = page.get_by_label("Loop", exact=True)
    field.fill(field.input_value().replace('"kind": "sleep"', '"kind": "nap"'))
    page.get_by_role("button", name="Save a new version").first.click()

    expect(page.locator("mark")).to_have_text('"kind"')
    assert_sound(page)
