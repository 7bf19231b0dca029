"""Alerts in a browser: somebody is added, a test is sent, and what became of it appears by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from mobius import clock
from mobius.alerting.watching import look
from tests.mobius.alerting.conftest import World, mail_server, world  # noqa: F401  # fixtures
from tests.mobius.alerting.mailbox import MailServer, send_due

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
HERE = "/projects/platform/govern/alerts/"


def test_somebody_is_added_tried_out_and_told(
    open_as: Callable[[User, str], Page],
    alice: User,
    world: World,  # noqa: F811
    mail_server: MailServer,  # noqa: F811
    assert_sound: Callable[[Page], Any],
) -> None:
    page = open_as(alice, HERE)
    page.get_by_label("E-mail address").fill("ada@example.com")
    page.get_by_role("button", name="Add recipient").click()
    expect(page.get_by_role("row", name="ada@example.com")).to_be_visible()

    page.get_by_label("Loop paused, to ada@example.com").uncheck()
    page.get_by_role("button", name="Save who gets what").click()
    expect(page.get_by_label("Loop paused, to ada@example.com")).not_to_be_checked()
    expect(page.get_by_label("Rows in doubt, to ada@example.com")).to_be_checked()

    page.get_by_role("button", name="Send a test to ada@example.com").click()
    expect(page.locator("#mails").get_by_text("Waiting")).to_be_visible()
    send_due()
    expect(page.locator("#mails").get_by_text("Sent")).to_be_visible()

    world.breaks()
    look(now=clock.now())
    send_due()
    page.reload()
    expect(page.get_by_role("link", name="clay: paused")).to_be_visible()
    assert_sound(page)
    page.get_by_role("link", name="Remove ada@example.com").click()
    assert_sound(page)
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("Somebody else, at the address below")).to_be_attached()
    assert mail_server.subjects == ["[platform] Test: alerts reach you here", "[platform] clay: paused"]
