"""The pages of pushes, from choosing a file to downloading what failed."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from integrations.models import Integration, Webhook
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from loops.console import pushes
from loops.models import Push
from loops.pushing import operating
from mobius.projects.auditing import SYSTEM
from mobius.projects.models import Project
from tests.loops.flow import NO_ANSWER
from tests.loops.pushing.pushes import LEADS, checked, drafted, fresh, go_on, leads, started, to_the_end

HERE = "/projects/platform/operate/pushes/"


@pytest.fixture
def browser(client: Client, bob: User) -> Client:
    """Bob's, who is an operator."""
    client.force_login(bob)
    return client


def page_of(browser: Client, push: Push) -> str:
    answer = browser.get(f"{HERE}{push.pk}/")
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def upload(browser: Client, raw: bytes, name: str = "leads.csv") -> Any:
    file = io.BytesIO(raw)
    file.name = name
    return browser.post(f"{HERE}new/", {"integration": Integration.objects.get().pk, "upload": file, "text": ""})


def test_a_file_is_uploaded_mapped_checked_and_pushed(
    browser: Client, integration: Integration, clay: ClaySimulator
) -> None:
    answer = upload(browser, "Email;Città\nada@example.com;Forlì\n=1+1;<b>x</b>\n".encode("cp1252"))
    push = Push.objects.get()
    assert answer.headers["Location"] == f"{HERE}{push.pk}/"
    page = page_of(browser, push)
    assert "Read as CSV, Windows-1252, separated by semicolons." in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert "Check the rows" in page

    mapped = {"request_id": "Email", "external_id": "", "key-0": "email", "key-1": "city"}
    assert browser.post(f"{HERE}{push.pk}/check/", mapped).status_code == 302
    page = page_of(browser, push)
    assert "<strong>2 rows</strong> would go to <bdi>clay</bdi>" in page
    assert "Sending them uses 2 of the 50,000 submissions that are left." in page
    assert "Push 2 rows" in page
    assert not clay.rows

    browser.post(f"{HERE}{push.pk}/start/")
    assert "Pause" in page_of(browser, push)
    to_the_end(push)
    page = page_of(browser, push)
    assert "2 of 2 rows" in page
    assert "Completed" in page
    assert [row.body["city"] for row in clay.rows] == ["Forlì", "<b>x</b>"]


def test_rows_are_pasted(browser: Client, integration: Integration) -> None:
    answer = browser.post(f"{HERE}new/", {"integration": integration.pk, "text": "Email\tName\r\na@b.c\tAda\r\n"})

    assert answer.status_code == 302
    push = Push.objects.get()
    assert (push.name, push.columns, push.rows) == ("Pasted rows", ["Email", "Name"], 1)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"text": ""}, "Choose a file, or paste rows below."),
        ({"text": "a\n1\n", "upload": "a\n1\n"}, "Choose a file or paste rows, not both."),
        ({"text": 'a\n"open\n'}, "Line 2: a quote is opened there and never closed."),
        ({"text": "a\n"}, "There is a header, and no row below it."),
        ({"text": "a\n1\n", "integration": "nobody"}, "Select a valid choice."),
        ({"text": "a\n1\n", "integration": "\x00"}, "Select a valid choice."),
        ({"upload": "PK\x03\x04 a workbook"}, "This is a workbook, not text."),
        ({"upload": ""}, "There is nothing in it."),
    ],
)
def test_what_is_wrong_with_the_rows_is_said_at_their_place(
    browser: Client, integration: Integration, fields: dict[str, Any], sentence: str
) -> None:
    given = {"integration": integration.pk, "text": ""} | fields
    if "upload" in given:
        given["upload"] = io.BytesIO(given["upload"].encode())
        given["upload"].name = "leads.csv"

    answer = browser.post(f"{HERE}new/", given)

    assert answer.status_code == 422
    assert sentence in answer.content.decode().replace("&#x27;", "'")
    assert not Push.objects.exists()


def test_a_paste_that_is_too_large_is_told_to_upload_a_file(browser: Client, integration: Integration) -> None:
    answer = browser.post(f"{HERE}new/", {"integration": integration.pk, "text": "a\n" + "x\n" * 200_000})

    assert answer.status_code == 413
    assert "Upload them as a file instead." in answer.content.decode()


def test_a_mapping_that_confuses_columns_comes_back_with_what_was_typed(
    browser: Client, integration: Integration
) -> None:
    push = drafted(integration)

    answer = browser.post(f"{HERE}{push.pk}/check/", {"request_id": "", "key-0": "same", "key-1": "same"})

    assert answer.status_code == 422
    page = answer.content.decode()
    assert "give each a key of its own" in page
    assert page.count('value="same"') == 2
    assert fresh(push).state == "draft"


def test_the_dry_run_names_the_lines_that_stay_behind_and_gives_them_as_a_file(
    browser: Client, integration: Integration
) -> None:
    Webhook.objects.update(submission_limit=1)
    push = checked(integration, LEADS + "r1,again@example.com\nr9\n")

    page = page_of(browser, push)

    assert "Line 5: <bdi>Its request_id r1 stands in line 2 already.</bdi>" in page
    assert "The webhook has only 1 submissions left: 2 rows would fail" in page
    failed = b"".join(browser.get(f"{HERE}{push.pk}/failed/").streaming_content).decode("utf-8-sig")
    assert [line.split(",")[0] for line in failed.splitlines()] == ["push_line", "5", "6"]


def test_a_push_that_runs_shows_what_became_of_its_rows(
    browser: Client, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(Behaviour(fail=400), NO_ANSWER)
    push = go_on(started(integration, leads(30)), turns=2)

    live = browser.get(f"{HERE}{push.pk}/live/?state=running").content.decode()

    assert "Rows in doubt" in live
    assert "Download what did not arrive" in live
    assert "<dt>In doubt</dt>" in live
    assert "/operate/deliveries/?state=in_doubt" in live


def test_a_page_whose_push_is_in_another_state_is_drawn_anew(browser: Client, integration: Integration) -> None:
    push = to_the_end(started(integration))

    answer = browser.get(f"{HERE}{push.pk}/live/?state=running")

    assert (answer.status_code, answer.headers["HX-Refresh"]) == (204, "true")


def test_it_is_paused_resumed_and_cancelled_by_buttons(browser: Client, integration: Integration) -> None:
    push = go_on(started(integration, leads(100)))
    for deed, state in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
        browser.post(f"{HERE}{push.pk}/{deed}/")
        assert fresh(push).state == state
    assert "The push is cancelled" in browser.post(f"{HERE}{push.pk}/cancel/", follow=True).content.decode()


def test_cancelling_asks_first_and_a_draft_is_discarded(browser: Client, integration: Integration) -> None:
    push = checked(integration)
    assert "Nothing of it was sent." in browser.get(f"{HERE}{push.pk}/cancel/").content.decode()

    answer = browser.post(f"{HERE}{push.pk}/cancel/", follow=True)

    assert "is discarded" in answer.content.decode()
    assert not Push.objects.exists()


def test_a_second_press_of_discard_is_told_that_it_is_gone(
    browser: Client, integration: Integration, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = checked(integration)
    operating.cancel(fresh(push), by=SYSTEM)
    monkeypatch.setattr(pushes, "find_push", lambda *_: push)  # it was read before the first press was through

    answer = browser.post(f"{HERE}{push.pk}/cancel/", follow=True)

    assert "The push was discarded." in answer.content.decode()


def test_discarding_what_somebody_has_started_meanwhile_does_not_say_that_nothing_was_sent(
    browser: Client, integration: Integration, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = checked(integration)
    operating.start(fresh(push), by=SYSTEM)
    monkeypatch.setattr(pushes, "find_push", lambda *_: push)  # it was read before it was started

    answer = browser.post(f"{HERE}{push.pk}/cancel/", follow=True)

    assert "Cancelled: what was not sent yet never is." in answer.content.decode()
    assert "Nothing of it was sent." not in answer.content.decode()


def test_a_file_that_is_still_being_read_is_in_no_list(browser: Client, integration: Integration) -> None:
    push = drafted(integration)
    assert push.pk in browser.get(HERE).content.decode()

    Push.objects.update(state="reading")

    assert push.pk not in browser.get(HERE).content.decode()


def test_why_it_paused_itself_is_said(browser: Client, integration: Integration, clay: ClaySimulator) -> None:
    clay.next_answers(*[Behaviour(fail=400)] * 60)
    push = to_the_end(started(integration, leads(100)))

    assert "25 rows in a row did not get through" in page_of(browser, push)


def test_a_viewer_watches_and_is_offered_no_button(client: Client, vera: User, integration: Integration) -> None:
    client.force_login(vera)
    push = checked(integration)

    page = page_of(client, push)

    assert "would go to" in page
    assert "/start/" not in page
    assert "/check/" not in page
    assert "Push a file" not in client.get(HERE).content.decode()
    assert client.post(f"{HERE}{push.pk}/start/").status_code == 403


def test_a_stranger_finds_nothing(client: Client, charlie: User, integration: Integration) -> None:
    client.force_login(charlie)
    push = started(integration)

    for path in ("", "live/", "failed/"):
        assert client.get(f"/projects/elsewhere/operate/pushes/{push.pk}/{path}").status_code == 404


def test_the_list_teaches_the_next_step_and_then_shows_how_far_each_is(
    browser: Client, integration: Integration
) -> None:
    assert "Nothing was pushed yet" in browser.get(HERE).content.decode()
    to_the_end(started(integration))
    operating.start(checked(integration, leads(5, first=50)), by=SYSTEM)

    page = browser.get(HERE).content.decode()

    assert "3 of 3 rows" in page
    assert "0 of 5 rows" in page
    assert "No push fits" in browser.get(f"{HERE}?state=paused").content.decode()


def test_without_an_integration_it_says_to_connect_one(browser: Client, project: Project) -> None:
    assert "Connect a table first" in browser.get(f"{HERE}new/").content.decode()


@pytest.mark.parametrize("rows", [3, 300])
def test_the_pages_cost_as_many_queries_for_many_rows_as_for_few(
    browser: Client, integration: Integration, rows: int, django_assert_max_num_queries: Any
) -> None:
    push = go_on(started(integration, leads(rows)))

    for path in ("", "live/"):
        with django_assert_max_num_queries(12):
            browser.get(f"{HERE}{push.pk}/{path}")


def test_the_list_costs_as_many_queries_for_many_pushes_as_for_few(
    browser: Client, integration: Integration, django_assert_max_num_queries: Any
) -> None:
    for _ in range(9):
        drafted(integration)

    with django_assert_max_num_queries(9):
        browser.get(HERE)
