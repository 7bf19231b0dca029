"""What an operator does all day: a row in doubt is found, looked at and settled; what failed is retried in one go."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from integrations.models import Attempt, Integration
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from loops import bulk
from loops.models import BulkJob, Run
from mobius.projects.models import Project
from tests.cast import work_off
from tests.loops.flow import LOST, begin, go, loop_of
from tests.loops.runs import push

OpenAs = Callable[[User, str], Page]
Check = Callable[[Page], None]
OPERATE = "/projects/platform/operate"


@pytest.fixture
def doubt(project: Project, integration: Integration, clay: ClaySimulator) -> Attempt:
    clay.next_answers(LOST)
    go(project, push())
    return Attempt.objects.get()


def test_a_row_in_doubt_is_found_looked_at_and_settled(
    open_as: OpenAs, bob: User, doubt: Attempt, assert_accessible: Check, assert_fits: Check
) -> None:
    page = open_as(bob, f"{OPERATE}/deliveries/")
    page.get_by_role("navigation", name="State").get_by_role("link", name="In doubt 1").click()
    assert page.url.endswith("?state=in_doubt")
    assert_accessible(page)
    page.get_by_role("rowheader").get_by_role("link").click()
    expect(page.get_by_role("heading", name="What to do")).to_be_visible()
    assert_accessible(page)
    page.get_by_role("link", name="Settle").click()
    page.get_by_label("It arrived").check()
    page.get_by_label("How do you know?").fill("Looked into the table")
    page.get_by_role("button", name="Settle").click()

    expect(page.get_by_text("Settled: It arrived.")).to_be_visible()
    page.goto(page.url.split("/operate/")[0] + f"/operate/deliveries/{doubt.pk}/")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Accepted")
    expect(page.get_by_text("Already accepted: it is not sent again.")).to_be_visible()
    expect(page.get_by_text("Looked into the table").last).to_be_visible()
    assert_fits(page)


def test_a_row_that_was_taken_goes_out_once_more_as_a_new_request(
    open_as: OpenAs, bob: User, project: Project, integration: Integration, clay: ClaySimulator, assert_sound: Check
) -> None:
    go(project, push())
    page = open_as(bob, f"{OPERATE}/deliveries/{Attempt.objects.get().pk}/")
    page.get_by_role("link", name="Send as a new request").click()
    expect(page.get_by_text("the table then has it twice")).to_be_visible()
    assert_sound(page)
    page.get_by_label("Reason").fill("the table was emptied")
    page.get_by_role("button", name="Send as a new request").click()

    expect(page.get_by_text("The row was taken.").first).to_be_visible()
    first, second = (row.body["request_id"] for row in clay.rows)
    assert second.startswith(f"{first}-again-")
    expect(page.get_by_text(second).first).to_be_visible()
    assert_sound(page)


def test_everything_that_failed_is_retried_as_a_job_that_is_watched_to_its_end(
    open_as: OpenAs,
    bob: User,
    project: Project,
    integration: Integration,
    clay: ClaySimulator,
    assert_accessible: Check,
    assert_fits: Check,
) -> None:
    loop = loop_of(project, push())
    clay.next_answers(*[Behaviour(fail=400)] * 3)
    for _ in range(3):
        begin(loop)
    work_off()

    page = open_as(bob, f"{OPERATE}/runs/?status=failed&from=2026-01-01")
    assert_accessible(page)
    page.get_by_role("link", name="Retry all 3 that match").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Retry 3 runs?")
    expect(page.get_by_text("Through clay, at most 3 rows.")).to_be_visible()
    assert_accessible(page)
    page.get_by_label("Reason").fill("The table is mended")
    page.get_by_role("button", name="Retry all of them").dblclick()
    expect(page.get_by_text("3 matched when")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Running")
    assert_accessible(page)
    assert BulkJob.objects.count() == 1

    bulk.work_off()

    expect(page.get_by_role("heading", level=1)).to_contain_text("Completed")  # without anybody loading it anew
    expect(page.get_by_text("100 %").first).to_be_visible()
    work_off()
    assert set(Run.objects.values_list("status", flat=True)) == {"completed"}
    assert len(clay.rows) == 3
    assert_accessible(page)
    assert_fits(page)


def test_a_filter_is_taken_away_by_the_keyboard_and_the_lists_fit_everywhere(
    open_as: OpenAs, bob: User, doubt: Attempt, assert_accessible: Check, assert_fits: Check
) -> None:
    page = open_as(bob, f"{OPERATE}/runs/?from=2026-01-01&q=nothing")
    expect(page.get_by_text("No run fits")).to_be_visible()
    chip = page.get_by_role("link", name="Remove the filter Search: nothing")
    chip.focus()
    page.keyboard.press("Enter")

    expect(page.get_by_role("rowheader").get_by_role("link")).to_be_visible()
    expect(page.get_by_label("From (UTC)")).to_have_value("2026-01-01")
    assert_accessible(page)
    assert_fits(page)
    page.goto(page.url.split("?")[0].replace("/runs/", "/deliveries/?state=in_doubt"))
    assert_fits(page)


@pytest.mark.parametrize("room", ["runs", "deliveries"])
def test_what_has_come_since_is_counted_and_waits_for_a_click(
    open_as: OpenAs,
    page: Page,
    bob: User,
    project: Project,
    integration: Integration,
    assert_accessible: Check,
    room: str,
) -> None:
    go(project, push())
    page.clock.install()
    open_as(bob, f"{OPERATE}/{room}/?from=2026-01-01")
    shown = page.get_by_role("rowheader")
    expect(shown).to_have_count(1)
    page.clock.run_for(11_000)
    expect(page.locator("#news")).to_have_count(0)

    go(project, push())
    go(project, push())
    page.clock.run_for(11_000)

    news = page.get_by_role("status").get_by_role("link", name="2 new")
    expect(news).to_be_visible()
    expect(shown).to_have_count(1)  # no row jumps under the reader's hand
    assert_accessible(page)
    news.focus()
    page.clock.run_for(11_000)
    expect(news).to_be_focused()
    page.keyboard.press("Enter")
    expect(shown).to_have_count(3)
    expect(page).to_have_url(re.compile(r"\?from=2026-01-01"))
    expect(news).to_have_count(0)
