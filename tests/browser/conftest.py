"""What the browser tests share: Chromium, a signed-in page, and the checks that every page must pass.

`page` watches while it is used: a console error, a script error or a request to another host fails its test.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, ViewportSize

from tests.cast import cannot

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WIDE: ViewportSize = {"width": 1280, "height": 900}
NARROW: ViewportSize = {"width": 320, "height": 800}
ACCESSIBLE = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]
_HERE = Path(__file__).parent

OpenAs = Callable[[User, str], Page]
Check = Callable[[Page], None]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder needs Chromium, and a database that the live server's threads can see."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.django_db(transaction=True))


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Debian's Chromium. Without one the tests are skipped, or fail where they are required (CI)."""
    if CHROMIUM is None:
        cannot("There is no Chromium; on Debian: apt-get install -y --no-install-recommends chromium")
    quiet = """--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
        --disable-component-update --disable-sync""".split()
    return {**browser_type_launch_args, "executable_path": CHROMIUM, "args": quiet}


@pytest.fixture(scope="session")
def base_url() -> None:
    """Ours wins over the one of pytest-base-url, at which this pytest warns; addresses are written out anyway."""


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    return {**browser_context_args, "viewport": WIDE, "locale": "en-GB", "timezone_id": "UTC"}


@pytest.fixture
def page(page: Page, live_server: Any) -> Iterator[Page]:
    """A page whose faults fail the test."""
    with _watched(page, live_server):
        yield page


@contextmanager
def _watched(page: Page, live_server: Any) -> Iterator[None]:
    faults: list[str] = []
    our_host = urlsplit(live_server.url).netloc
    page.set_default_timeout(10_000)

    def heard(message: ConsoleMessage) -> None:
        # A form that comes back with its mistakes is answered with 422, which Chromium calls an error.
        if message.type == "error" and "status of 422" not in message.text:
            faults.append(f"console: {message.text} ({message.location.get('url', '')})")

    def asked(request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme in ("http", "https", "ws", "wss") and address.netloc != our_host:
            faults.append(f"request to another host: {request.url}")

    page.on("console", heard)
    page.on("pageerror", lambda error: faults.append(f"script: {error}"))
    page.on("request", asked)
    yield
    assert not faults, "\n".join(faults)


@pytest.fixture
def open_as(page: Page, live_server: Any) -> OpenAs:
    """Open an address as somebody who is signed in: `open_as(alice, "/projects/platform/")`."""
    return partial(_open_as, page, live_server)


@pytest.fixture
def unscripted(browser: Browser, browser_context_args: dict[str, Any], live_server: Any) -> Iterator[OpenAs]:
    """As `open_as`, in a browser that runs no JavaScript."""
    context = browser.new_context(**browser_context_args, java_script_enabled=False)
    page = context.new_page()
    with _watched(page, live_server):
        yield partial(_open_as, page, live_server)
    context.close()


def _open_as(page: Page, live_server: Any, user: User, path: str) -> Page:
    client = Client()
    client.force_login(user)
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
    page.goto(f"{live_server.url}{path}")
    return page


@pytest.fixture
def assert_accessible() -> Check:
    """WCAG 2.2 AA as far as axe can tell, in light and in dark."""

    def check(page: Page) -> None:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            # It would load imported styles anew, as styles in the page, which the policy refuses.
            quiet = {"preload": False}
            found = Axe().run(page, options={"runOnly": ACCESSIBLE, "resultTypes": ["violations"]} | quiet)
            assert found.violations_count == 0, f"{page.url} in {scheme}: {found.generate_report()}"
        page.emulate_media(color_scheme="light")

    return check


@pytest.fixture
def assert_fits() -> Check:
    """No sideways scroll on the narrowest screen that counts, 320 pixels; says what sticks out."""

    def check(page: Page) -> None:
        page.set_viewport_size(NARROW)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= NARROW["width"], f"{page.url} is {width} pixels wide: {page.evaluate(_STICKS_OUT)}"
        page.set_viewport_size(WIDE)

    return check


@pytest.fixture
def assert_sound(assert_accessible: Check, assert_fits: Check) -> Check:
    """What every page must pass: accessible in light and dark, and no sideways scroll."""

    def check(page: Page) -> None:
        assert_accessible(page)
        assert_fits(page)

    return check


_STICKS_OUT = """() => [...document.querySelectorAll("main *, header *")]
  .filter((element) => element.getBoundingClientRect().right > innerWidth && element.checkVisibility())
  .slice(0, 5).map((element) => element.outerHTML.slice(0, 120))"""
