"""The API reference in a real browser. `page` fails its test at a console error and at a request to another host."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from mobius.openapi.operations import TAGGED
from mobius.projects.keys import create_key
from mobius.projects.models import Project
from mobius.projects.roles import Role

OpenAs = Callable[[User, str], Page]
Check = Callable[[Page], None]
REFERENCE = "/projects/platform/govern/api/"


def unfold(page: Page, tag: str) -> None:
    page.locator(f"[data-tag='{tag}']").get_by_role("button").click()


def test_every_address_is_drawn_and_one_can_be_tried_out_with_a_key(
    open_as: OpenAs, project: Project, vera: User
) -> None:
    key = create_key(project=project, name="mine", role=Role.VIEWER)
    page = open_as(vera, REFERENCE)
    for tag, operations in TAGGED.items():
        unfold(page, tag)
        expect(page.locator(".opblock-tag-section.is-open .opblock")).to_have_count(len(operations))
        unfold(page, tag)  # and fold it again

    unfold(page, "Projects and keys")
    page.get_by_role("button", name="Authorize").first.click()
    page.locator(".auth-container input").fill(key.text)
    page.locator(".auth-btn-wrapper").get_by_role("button", name="Apply credentials").click()
    page.locator(".auth-btn-wrapper").get_by_role("button", name="Close").click()
    operation = page.locator("[id$='-getProject']")
    operation.get_by_role("button").first.click()
    operation.get_by_role("button", name="Try it out").click()
    expect(operation.locator("input[placeholder='project']")).to_have_value("platform")
    operation.get_by_role("button", name="Execute").click()

    expect(operation.locator(".live-responses-table .response-col_status").last).to_contain_text("200")
    expect(operation.locator(".live-responses-table")).to_contain_text('"handle": "platform"')


def test_it_fits_the_narrowest_screen_with_an_operation_open(
    open_as: OpenAs, vera: User, project: Project, assert_fits: Check
) -> None:
    page = open_as(vera, REFERENCE)
    unfold(page, "Loops and runs")
    operation = page.locator("[id$='-startRun']")
    operation.get_by_role("button").first.click()
    expect(operation.get_by_text("Idempotency-Key").first).to_be_visible()

    assert_fits(page)


def test_whoever_is_signed_in_is_led_there_from_every_page(open_as: OpenAs, vera: User, project: Project) -> None:
    page = open_as(vera, "/projects/platform/build/loops/")

    page.locator(".sidebar").get_by_role("link", name="API", exact=True).click()

    expect(page.get_by_role("heading", name="API reference")).to_be_visible()
