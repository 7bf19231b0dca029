"""Support staff in Django admin: from what needs somebody to what is done about it, to the console, and back."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Page, expect

from integrations.models import Attempt
from loops.models import Run
from tests.inventory import Things, admin_addresses

OpenAs = Callable[[User, str], Page]
Check = Callable[[Page], None]


@pytest.fixture
def root(db: None) -> User:
    return User.objects.create_superuser("root")


def test_a_row_in_doubt_is_found_settled_and_seen_in_the_console(
    open_as: OpenAs, inventory: Things, root: User, assert_sound: Check
) -> None:
    page = open_as(root, "/admin/")
    assert_sound(page)
    page.get_by_role("link", name="rows in doubt").click()
    assert_sound(page)
    page.get_by_role("link", name=Attempt.objects.in_doubt().get().pk).click()
    assert_sound(page)

    page.get_by_role("button", name="Settle").click()
    page.get_by_role("button", name="Settle").click()
    expect(page.get_by_text("Say how you know")).to_be_visible()
    assert_sound(page)
    page.get_by_label("It arrived").check()
    page.get_by_label("How do you know?").fill("looked into the table")
    page.get_by_role("button", name="Settle").click()
    expect(page.get_by_text("Done, 1:")).to_be_visible()

    page.get_by_role("list").get_by_role("link").first.click()
    expect(page.get_by_text("delivery.arrived looked into the table")).to_be_visible()
    page.get_by_role("link", name="Open in the console").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Accepted")
    page.get_by_role("link", name="Open in admin").click()
    expect(page.get_by_text("delivery.arrived looked into the table")).to_be_visible()


def test_a_run_is_found_by_its_id_with_the_keyboard_alone(open_as: OpenAs, inventory: Things, root: User) -> None:
    run = Run.objects.order_by("pk")[0]
    page = open_as(root, "/admin/loops/run/")

    page.get_by_role("textbox").focus()
    page.keyboard.type(run.pk)
    page.keyboard.press("Enter")
    page.get_by_role("link", name=run.pk).focus()
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", name=run.pk)).to_be_visible()


def test_every_kind_of_page_is_accessible_and_fits(
    open_as: OpenAs, inventory: Things, root: User, assert_sound: Check
) -> None:
    client = Client()
    client.force_login(root)
    kinds = {re.sub(r"/(\d+|\w+_5F[^/]+)/", "/X/", address): address for address in admin_addresses(client)}

    for address in kinds.values():
        assert_sound(open_as(root, address))
    assert len(kinds) > 45


def test_the_boxes_of_permissions_say_what_they_filter(open_as: OpenAs, root: User) -> None:
    page = open_as(root, "/admin/auth/group/add/")

    box = page.get_by_role("textbox", name="Type into this box to filter down the list of available permissions.")
    box.fill("settle")
    expect(page.get_by_role("option", name="Can settle deliveries in doubt")).to_be_visible()
