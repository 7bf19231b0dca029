"""Loops and runs in a browser: started by hand, watched until they end, on any screen."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from integrations.models import Attempt, Integration
from integrations.providers.clay.simulated_endpoint import Behaviour
from integrations.providers.clay.simulator import ClaySimulator
from loops.authoring import create_loop
from loops.callbacks import receive_by_request_id
from loops.models import CallbackState, Loop, Run, Wait
from loops.starting import Start, start_run
from mobius import clock
from mobius.commands.demo import LOOP as ENRICH_LEAD
from mobius.engine import doorbell, embedded
from mobius.engine.pool import Pool
from mobius.projects.models import Project
from tests.cast import work_off

OpenAs = Callable[[User, str], Page]
Check = Callable[[Page], None]


@pytest.fixture
def engine(live_server: object) -> Iterator[Pool]:
    """Two workers that answer the doorbell while the page is looked at."""
    pool = Pool(doorbell.current_answer(), threads=2)
    pool.start()
    embedded.use_pool(pool)
    yield pool
    embedded.use_pool(None)
    assert pool.stop(patience_seconds=10)


@pytest.fixture
def enrich_lead(project: Project) -> Loop:
    """Pushes a row and waits for its callback."""
    return create_loop(project=project, authored=ENRICH_LEAD)


def begin(loop: Loop, key: str = "") -> Run:
    start = Start(event={"email": "ada@example.com"}, meta={}, config={}, source={}, idempotency_key=key)
    return start_run(loop=loop, start=start).run


def test_a_run_started_by_hand_is_seen_to_complete_without_a_reload(
    open_as: OpenAs, alice: User, integration: Integration, enrich_lead: Loop, engine: Pool, project: Project
) -> None:
    page = open_as(alice, f"/projects/platform/build/loops/{enrich_lead.pk}/")
    page.get_by_role("button", name="Start a run").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Suspended")
    page.evaluate("window.notReloaded = true")
    page.get_by_text("Attempt 1").click()
    page.locator("pre").first.focus()

    receive_by_request_id(project, {"request_id": Run.objects.get().pk, "score": 9})

    expect(page.get_by_role("heading", level=1)).to_contain_text("Completed")
    expect(page.get_by_label("Why")).to_contain_text("Every step has ended well.")
    expect(page).to_have_title(f"Completed run {Run.objects.get().pk} · platform · Mobius")
    expect(page.locator("#announcer")).to_have_text("The run is completed.")
    assert page.evaluate("window.notReloaded")
    assert page.locator(f"#attempt-{Attempt.objects.get().pk}").get_attribute("open") is not None
    assert page.evaluate("document.activeElement.tagName") == "PRE"


@pytest.mark.browser_context_args(timezone_id="America/New_York")
def test_times_are_the_reader_s_own_and_utc_is_at_hand_also_in_parts_that_come_later(
    open_as: OpenAs, alice: User, integration: Integration, enrich_lead: Loop, project: Project
) -> None:
    run = begin(enrich_lead)
    page = open_as(alice, f"/projects/platform/operate/runs/{run.pk}/")
    came_in = page.get_by_label("About this run").locator("time")
    expect(came_in).to_have_text(re.compile(r":\d\d (GMT-|E[SD]T)"))
    expect(came_in).to_have_attribute("title", re.compile(r":\d\d UTC$"))

    work_off()

    first = page.locator(".log time").first
    expect(first).to_have_text(re.compile(r":\d\d (GMT-|E[SD]T)"))
    expect(first).to_have_attribute("title", re.compile(r":\d\d UTC$"))
    page.goto(page.url.rsplit("/", 2)[0] + "/")
    expect(page.locator("main time").first).to_have_attribute("title", re.compile(r"GMT-.* \(.* UTC\)$|E[SD]T"))


def test_what_was_opened_and_focused_stays_so_when_its_own_part_changes(
    open_as: OpenAs, alice: User, integration: Integration, enrich_lead: Loop, project: Project
) -> None:
    run = begin(enrich_lead)
    work_off()
    page = open_as(alice, f"/projects/platform/operate/runs/{run.pk}/")
    page.locator("#log-1 summary").click()
    page.locator("#log-1 pre").focus()

    receive_by_request_id(project, {"request_id": run.pk, "score": 9})
    work_off()

    expect(page.get_by_text("run.completed").first).to_be_visible()
    expect(page.locator("#log-1 pre")).to_be_visible()
    expect(page.locator("#log-1 pre")).to_be_focused()


def test_a_page_of_a_run_that_has_ended_asks_no_more(
    open_as: OpenAs, alice: User, integration: Integration, push_leads: Loop, page: Page
) -> None:
    run = begin(push_leads)
    opened = open_as(alice, f"/projects/platform/operate/runs/{run.pk}/")
    work_off()
    expect(opened.get_by_role("heading", level=1)).to_contain_text("Completed")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    opened.wait_for_timeout(2_500)

    assert asked == []


def test_somebody_who_was_signed_out_meanwhile_is_led_to_the_sign_in_page(
    open_as: OpenAs, alice: User, integration: Integration, push_leads: Loop
) -> None:
    run = begin(push_leads)
    page = open_as(alice, f"/projects/platform/operate/runs/{run.pk}/")

    page.context.clear_cookies()

    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_loop_is_written_and_its_mistakes_are_shown_at_their_place(open_as: OpenAs, alice: User) -> None:
    page = open_as(alice, "/projects/platform/build/loops/new/")
    text = page.get_by_label("Loop", exact=True)
    written = text.input_value()
    text.fill(written.replace("clay.webhook.submit", "clay.webhook.submitt"))
    page.get_by_role("button", name="Create the loop").click()
    expect(page.locator("[data-error-summary]")).to_be_focused()
    expect(page.locator("[data-error-summary]")).to_contain_text("steps[0].config.action_name")

    page.get_by_label("Loop", exact=True).fill(written)
    page.get_by_role("button", name="Create the loop").click()

    expect(page.get_by_role("heading", name="push-leads Active")).to_be_visible()


@pytest.fixture
def history(
    project: Project, clay: ClaySimulator, integration: Integration, push_leads: Loop, enrich_lead: Loop
) -> dict[str, str]:
    """One run of every kind; the addresses of all pages."""
    runs = {}
    for name, behaviour in {"completed": None, "refused": Behaviour(fail=401), "doubt": Behaviour(reset=True)}.items():
        if behaviour is not None:
            clay.next_answers(behaviour)
        runs[name] = begin(push_leads, key=f"clay:{name}")
        work_off()
    runs["waiting"] = begin(enrich_lead)
    runs["called back"] = begin(enrich_lead)
    work_off()
    receive_by_request_id(project, {"request_id": runs["called back"].pk, "score": 9})
    work_off()
    Wait.objects.update(created_at=clock.now() - timedelta(hours=3))
    first = Attempt.objects.filter(run_id=runs["waiting"].pk)
    first.update(request_id=runs["called back"].pk)  # two rows under one request_id, none of them answered
    project.callbacks.update(state=CallbackState.UNMATCHED)
    Run.objects.filter(pk=runs["called back"].pk).update(status="suspended")
    unclear = receive_by_request_id(project, {"request_id": runs["called back"].pk, "score": 10})
    assert unclear.ambiguous
    runs["queued"] = begin(enrich_lead)
    pages = {
        "home": "",
        "loops": "build/loops/",
        "loop_new": "build/loops/new/",
        "loop": f"build/loops/{enrich_lead.pk}/",
        "loop_delete": f"build/loops/{enrich_lead.pk}/delete/",
        "runs": "operate/runs/",
        "runs_none": "operate/runs/?q=nothing",
        "deliveries": "operate/deliveries/",
        "delivery": f"operate/deliveries/{Attempt.objects.latest('pk').pk}/",
        "callbacks": "operate/callbacks/",
        "callbacks_overdue": "operate/callbacks/overdue/",
        "callback": f"operate/callbacks/{project.callbacks.exclude(pk=unclear.callback.pk).get().pk}/",
        "callback_ambiguous": f"operate/callbacks/{unclear.callback.pk}/",
    }
    return pages | {f"run_{name.replace(' ', '_')}": f"operate/runs/{run.pk}/" for name, run in runs.items()}


def test_every_page_is_sound(open_as: OpenAs, alice: User, history: dict[str, str], assert_sound: Check) -> None:
    for path in history.values():
        page = open_as(alice, f"/projects/platform/{path}")
        page.evaluate("document.querySelectorAll('main details').forEach((details) => (details.open = true))")
        assert_sound(page)


def test_an_empty_project_is_sound(open_as: OpenAs, alice: User, vera: User, assert_sound: Check) -> None:
    for path in (
        "",
        "build/loops/",
        "operate/runs/",
        "operate/deliveries/",
        "operate/callbacks/",
        "operate/callbacks/overdue/",
    ):
        for person in (alice, vera):
            assert_sound(open_as(person, f"/projects/platform/{path}"))
