"""Pushing a file in a browser: paste, map, dry run, confirm, progress, done, download."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connections
from playwright.sync_api import Page, expect

from integrations.models import Integration
from integrations.providers.clay.simulated_endpoint import Behaviour
from integrations.providers.clay.simulator import ClaySimulator
from loops.models import Push
from loops.sweeping import sweep
from mobius.engine.pool import Pool
from tests.browser.test_runs import engine
from tests.loops.pushing.pushes import checked, go_on, leads, started

__all__ = ["engine"]
OpenAs = Callable[[User, str], Page]
Check = Callable[[Page], None]
HERE = "/projects/platform/operate/pushes/"


@pytest.fixture
def sweeper(engine: Pool) -> Iterator[None]:
    """The clockwork beside the workers."""
    closing = threading.Event()

    def tick() -> None:
        while not closing.wait(0.1):
            sweep()
        connections.close_all()

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    yield
    closing.set()
    thread.join(10)


def test_rows_are_pasted_mapped_checked_pushed_watched_and_what_failed_is_downloaded(
    open_as: OpenAs,
    bob: User,
    integration: Integration,
    clay: ClaySimulator,
    sweeper: None,
    assert_sound: Check,
    tmp_path: Path,
) -> None:
    clay.next_answers(Behaviour(fail=400))
    page = open_as(bob, HERE)
    page.get_by_role("link", name="Push a file").first.click()
    assert_sound(page)
    rows = "".join(f"lead{number}@example.com\t=1+{number}\n" for number in range(30))
    page.get_by_label("Or paste the rows").fill(f"Email\tFormula\n{rows}\tnobody\n")
    page.get_by_role("button", name="Read the rows").click()

    expect(page.get_by_role("heading", name="Step 2 of 3: the columns")).to_be_visible()
    page.get_by_label("Email is sent as").fill("email")
    page.get_by_label("request_id").select_option("Email")
    assert_sound(page)
    page.get_by_role("button", name="Check the rows").click()

    expect(page.get_by_text("would go to clay")).to_be_visible()
    page.get_by_text("1 without a request_id: left out").click()
    expect(page.get_by_text("Line 32:")).to_be_visible()
    assert_sound(page)
    assert not clay.rows
    page.get_by_role("button", name="Push 30 rows").click()

    expect(page.get_by_text("Completed")).to_be_visible(timeout=30_000)
    expect(page.get_by_text("30 of 30 rows")).to_be_visible()
    assert_sound(page)
    assert len(clay.rows) == 29
    with page.expect_download() as download:
        page.get_by_role("link", name="Download what did not arrive").click()
    saved = tmp_path / "failed.csv"
    download.value.save_as(saved)
    lines = saved.read_text(encoding="utf-8-sig").splitlines()
    assert lines[0] == "push_line,push_error,Email,Formula"
    assert len(lines) == 3
    assert all(line.split(",")[-1].startswith(("'=1+", "nobody")) for line in lines[1:])


def test_what_cannot_be_read_is_said_and_the_pasted_text_stays(
    open_as: OpenAs, bob: User, integration: Integration, assert_sound: Check
) -> None:
    page = open_as(bob, f"{HERE}new/")
    page.get_by_label("Or paste the rows").fill('a,b\n1,"open')
    page.get_by_role("button", name="Read the rows").click()

    expect(page.get_by_role("alert")).to_contain_text("Line 2: a quote is opened there and never closed.")
    expect(page.get_by_label("Or paste the rows")).to_have_value('a,b\n1,"open')
    assert_sound(page)


def test_the_list_and_a_running_push_are_sound_and_it_is_paused_by_its_button(
    open_as: OpenAs, bob: User, integration: Integration, assert_sound: Check
) -> None:
    checked(integration, leads(3))
    push = go_on(started(integration, leads(200)))
    page = open_as(bob, HERE)
    assert_sound(page)
    page.get_by_role("link", name="leads.csv").first.click()
    assert_sound(page)
    page.get_by_role("button", name="Pause").click()

    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    assert Push.objects.get(pk=push.pk).state == "paused"
