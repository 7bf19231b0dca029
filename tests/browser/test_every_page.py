"""Every page of the console, found in the URL configuration, in a real browser.

Each must be accessible in light and dark, fit 320 pixels, be reached by Tab alone, log no error, and ask no other host
for anything (what the content security policy forbids is an error, too); and each must be of use without a script. A
page that somebody adds tomorrow is looked at today; one that nothing in the inventory leads to fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Page, expect

from loops.console.runs import STOP_POLLING
from tests.browser.keyboard import assert_all_within_reach
from tests.inventory import Things, console_addresses, filled

OpenAs = Callable[[User, str], Page]
Check = Callable[[Page], None]

P = "/projects/<handle>/"
OF_NO_PROJECT = {"/", "/login/", "/logout/", "/account/password/", "/healthz", "/readyz", "/metrics"}
ALSO = [f"{P}build/loops/<hooked>/", f"{P}operate/runs/<failed_run>/", f"{P}operate/runs/<failed_run>/retry/"]
"""Pages that look otherwise for another thing."""


def room_of(path: str) -> str:
    """The part of the console that the page belongs to, such as `govern/webhooks`."""
    return "/".join(path.removeprefix(P).split("/")[:2]).rstrip("/") or "home"


IN_PROJECTS = [path for path in [*console_addresses(), *ALSO] if path not in OF_NO_PROJECT]
ROOMS = sorted({room_of(path) for path in IN_PROJECTS})


def is_page(client: Client, address: str) -> bool:
    """Not what takes a form only, leads back to the page of its form, is a part of a page, or a file to be saved."""
    answer = client.get(address)
    if answer.status_code in (405, STOP_POLLING) or "attachment" in answer.headers.get("Content-Disposition", ""):
        return False
    if answer.status_code == 302:
        assert address.startswith(answer.headers["Location"]), f"{address} leads to {answer.headers['Location']}"
        return False
    assert answer.status_code == 200, f"{address} is answered with {answer.status_code}"
    return answer.content.lstrip().lower().startswith(b"<!doctype html>")


@pytest.fixture
def root(db: None) -> User:
    return User.objects.create_superuser("root")


def test_every_address_is_of_a_project_or_known_to_be_of_none() -> None:
    assert [path for path in console_addresses() if not path.startswith(P) and path not in OF_NO_PROJECT] == []
    assert len(ROOMS) > 8


@pytest.fixture(params=ROOMS)
def pages(request: pytest.FixtureRequest, root: User, inventory: Things) -> list[str]:
    """The addresses of the pages of one room."""
    client = Client()
    client.force_login(root)
    addresses = [filled(path, inventory) for path in IN_PROJECTS if room_of(path) == request.param]
    assert [address for address in addresses if re.search("[<>]", address)] == [], "the inventory has no such thing"
    found = [address for address in addresses if is_page(client, address)]
    assert found
    return found


_STRAY_TIMES = r"""() => {
  const texts = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  const found = [];
  while (texts.nextNode()) {
    const { data, parentElement } = texts.currentNode;
    if (/\b\d{1,2}:\d{2}\b/.test(data) && !parentElement.closest("time, code, pre, textarea")) found.push(data.trim());
  }
  return found;
}"""


def test_every_page_is_sound(open_as: OpenAs, root: User, pages: list[str], assert_sound: Check) -> None:
    def check(address: str) -> None:
        page = open_as(root, address)
        assert page.get_by_role("heading", level=1).count() == 1, f"{address} has not one heading"
        assert page.evaluate(_STRAY_TIMES) == [], f"{address} tells a time that is not the reader's own"
        assert_all_within_reach(page)
        assert_sound(page)

    each(pages, check)


def test_every_page_is_of_use_without_a_script(unscripted: OpenAs, root: User, pages: list[str]) -> None:
    def check(address: str) -> None:
        page = unscripted(root, address)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        dead = page.locator("button[type=button]:visible").all()
        assert not dead, f"{address}: without a script this does nothing: {dead[0].inner_text()}"
        for form in page.locator("form:visible").all():
            name = form.get_attribute("id") or form.evaluate("form => form.action")
            sends = "form => [...form.elements].some((one) => one.type === 'submit' && one.checkVisibility())"
            assert form.evaluate(sends), f"{address}: without a script nothing sends the form {name}"
        if page.locator("[data-live]:not(.news)").count():
            expect(page.get_by_role("link", name="Load this page anew").first).to_be_visible()

    each(pages, check)


def each(pages: list[str], check: Callable[[str], None]) -> None:
    """All of them, so that one run tells everything that is wrong."""
    wrong: list[str] = []
    for address in pages:
        try:
            check(address)
        except AssertionError as error:
            wrong.append(str(error))
    assert not wrong, "\n\n".join(wrong)


def test_the_pages_of_no_project_are_sound(page: Page, open_as: OpenAs, root: User, live_server, assert_sound) -> None:  # type: ignore[no-untyped-def]
    page.goto(f"{live_server.url}/login/")
    assert_sound(page)
    assert_sound(open_as(root, "/account/password/"))
    assert_sound(open_as(root, "/"))  # no project yet


# --- what is answered to a form, and never to a link ---


@pytest.mark.parametrize(
    ("path", "filled_in", "button"),
    [
        (f"{P}build/loops/<hooked>/triggers/<trigger>/secret/", {}, "Demand a signature"),
        (f"{P}govern/webhooks/", {"Name": "erp", "URL": "https://hooks.example.com/in"}, "Save without ping"),
        (f"{P}govern/webhooks/<webhook_id>/rotate/", {}, "Rotate secret"),
        (f"{P}govern/api-keys/", {"Name": "erp"}, "Create key"),
    ],
)
def test_a_page_that_shows_a_secret_once_is_sound(
    open_as: OpenAs,
    root: User,
    inventory: Things,
    assert_sound: Check,
    path: str,
    filled_in: dict[str, str],
    button: str,
) -> None:
    page = open_as(root, filled(path, inventory))
    for label, text in filled_in.items():
        page.get_by_role("textbox", name=label).fill(text)
    for choice in page.get_by_role("radio").all()[:1]:
        choice.check()
    page.get_by_role("button", name=button).click()

    expect(page.locator(".secret-once code")).to_be_visible()
    assert_sound(page)


def test_a_webhook_s_mistakes_are_said_and_it_is_switched_off_and_deleted(
    open_as: OpenAs, root: User, inventory: Things, assert_sound: Check
) -> None:
    page = open_as(root, filled(f"{P}govern/webhooks/<webhook_id>/", inventory))
    page.get_by_role("textbox", name="URL").fill("http://10.0.0.1/")
    page.get_by_role("button", name="Save without ping").click()
    expect(page.get_by_role("alert")).to_be_focused()
    assert_sound(page)

    page.get_by_role("button", name="Switch off").click()
    expect(page.get_by_text("It is told nothing any more.")).to_be_visible()
    assert_sound(page)

    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("The webhook crm is deleted, and its log with it.")).to_be_visible()
    assert_sound(page)
