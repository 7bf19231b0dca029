"""A webhook comes to the end of its budget in a browser: a successor is staged, tested, and takes over."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from integrations.models import Integration, Webhook
from integrations.providers.clay.simulator import ClaySimulator
from loops.models import Loop
from tests.cast import work_off
from tests.loops.flow import begin

OpenAs = Callable[[User, str], Page]
Check = Callable[[Page], None]


def test_a_second_webhook_is_staged_tested_and_takes_over_when_the_first_is_full(
    open_as: OpenAs,
    alice: User,
    integration: Integration,
    push_leads: Loop,
    clay: ClaySimulator,
    assert_sound: Check,
) -> None:
    Webhook.objects.update(submission_limit=50_000, used=49_998)
    page = open_as(alice, f"/projects/platform/govern/integrations/{integration.pk}/")
    page.get_by_role("link", name="Stage successor").click()
    page.get_by_role("textbox", name="Webhook URL").fill(clay.url_for("next"))
    page.get_by_role("button", name="Stage without test").click()
    successor = page.get_by_role("region", name="Successor")
    expect(successor.get_by_text("Not tested")).to_be_visible()

    clay.change(token="another")
    successor.get_by_role("button", name="Test successor").click()
    expect(page.get_by_role("heading", name="Clay refused the test row")).to_be_visible()
    expect(successor.get_by_text("Not tested")).to_be_visible()
    assert_sound(page)

    clay.change(token="")
    successor.get_by_role("button", name="Test successor").click()
    expect(page.get_by_text("The test succeeded: the successor takes over")).to_be_visible()
    expect(successor.get_by_text("Ready")).to_be_visible()

    for _ in range(3):
        begin(push_leads)
    work_off()

    page.reload()
    expect(successor.get_by_role("button", name="Stage successor")).to_have_count(0)
    webhooks = successor.get_by_role("listitem")
    expect(webhooks).to_have_count(2)
    expect(webhooks.filter(has_text="Current")).to_contain_text("2 of 50,000")  # the test, and the third row
    expect(webhooks.filter(has_text="Retired")).to_contain_text("50,000 of 50,000")
    assert_sound(page)
    page.get_by_role("link", name="Activity").click()
    expect(page.get_by_text("is full; rows go to")).to_be_visible()
    assert len(clay.rows) == 4
    assert_sound(page)
