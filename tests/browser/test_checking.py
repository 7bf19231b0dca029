"""Fields that are checked when they are left, by the server alone: never while somebody types, and mended at once."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Locator, Page, expect

from integrations.models import Integration
from mobius.projects.models import Project

LIST = "/projects/platform/govern/integrations/"
CONNECT = f"{LIST}clay/connect/"
CLAY_URL = "https://api.clay.com/v3/sources/webhook/pull-in-data-from-a-webhook-0f1e"

OpenAs = Callable[[User, str], Page]
Check = Callable[[Page], None]


@pytest.fixture
def connect(open_as: OpenAs, alice: User, project: Project) -> Page:
    return open_as(alice, CONNECT)


def field(page: Page, name: str) -> Locator:
    return page.get_by_role("textbox", name=name)


def expect_wrong(one: Locator, sentence: str) -> None:
    """The field itself says so, also to who cannot see it."""
    expect(one).to_have_attribute("aria-invalid", "true")
    expect(one).to_have_accessible_description(re.compile(re.escape(sentence)))


def expect_well(one: Locator) -> None:
    expect(one).not_to_have_attribute("aria-invalid", "true")


def test_a_wrong_address_is_said_when_its_field_is_left_and_goes_when_it_is_mended(
    connect: Page, assert_sound: Check
) -> None:
    url = field(connect, "Webhook URL")
    url.press_sequentially("http://10.0.0.1/")
    connect.wait_for_timeout(700)
    expect_well(url)  # somebody is still typing

    url.press("Tab")
    expect_wrong(url, "https")
    expect(connect.locator("#announcer")).to_have_text(re.compile("^Webhook URL: "))
    assert_sound(connect)

    url.fill(CLAY_URL)
    expect_well(url)  # while it still has the focus
    expect(url).to_be_focused()
    expect(connect.locator("#id_webhook_url_error")).to_have_count(0)


def test_an_empty_field_that_somebody_passes_by_is_not_called_wrong(connect: Page) -> None:
    url = field(connect, "Webhook URL")
    url.press("Tab")
    connect.wait_for_timeout(500)
    expect_well(url)

    url.press_sequentially("x")
    url.fill("")
    url.press("Tab")
    expect_wrong(url, "Paste the webhook URL.")


def test_a_pair_is_judged_once_both_of_its_fields_were_visited(connect: Page) -> None:
    name, value = field(connect, "Auth header name"), connect.get_by_label("Auth header value")
    name.fill("x-clay-webhook-auth")
    with connect.expect_response(lambda answer: answer.request.method == "POST"):
        name.press("Tab")
    expect(value).to_be_focused()
    expect_well(value)

    value.press("Shift+Tab")
    expect_wrong(value, "Give the header's value too, or clear its name.")

    name.fill("")
    expect_well(value)


def test_what_is_probably_wrong_is_said_before_connecting(connect: Page, assert_sound: Check) -> None:
    url = field(connect, "Webhook URL")
    url.fill("https://hooks.example.com/in")
    url.press("Tab")

    warning = connect.get_by_text("Clay's own webhooks are at api.clay.com")
    expect(warning).to_be_visible()
    assert_sound(connect)

    url.fill(CLAY_URL)
    url.press("Tab")
    expect(warning).to_be_hidden()


def test_leaving_a_field_by_a_click_on_the_button_sends_the_form_at_once(connect: Page) -> None:
    field(connect, "Webhook URL").press_sequentially("nowhere")
    connect.get_by_role("button", name="Connect without test").click()

    expect(connect.get_by_role("alert")).to_be_focused()
    assert not Integration.objects.exists()


def test_what_a_submission_found_goes_when_it_is_mended(connect: Page) -> None:
    connect.get_by_role("button", name="Connect without test").click()
    url = field(connect, "Webhook URL")
    expect_wrong(url, "Paste the webhook URL.")

    url.fill(CLAY_URL)

    expect_well(url)


@pytest.mark.parametrize(
    ("place", "name", "text", "sentence"),
    [
        ("settings", "Rows per second", "fast", "Write a number from 0.01 to 10000, or unlimited."),
        ("rotate", "Auth header name", "x a", "header"),
        ("successor", "Webhook URL", "nowhere", "https"),
    ],
)
def test_the_other_forms_of_an_integration_do_likewise(
    open_as: OpenAs, alice: User, integration: Integration, place: str, name: str, text: str, sentence: str
) -> None:
    page = open_as(alice, f"{LIST}{integration.pk}/{place}/")
    one = field(page, name)
    one.fill(text)
    one.press("Tab")

    expect_wrong(one, sentence)


def test_a_session_that_has_ended_leaves_what_is_typed_alone(connect: Page) -> None:
    url = field(connect, "Webhook URL")
    url.press_sequentially("nowhere")
    connect.context.clear_cookies(name="sessionid")
    with connect.expect_response(lambda answer: answer.request.method == "POST"):
        url.press("Tab")

    expect(url).to_have_value("nowhere")
    expect_well(url)
