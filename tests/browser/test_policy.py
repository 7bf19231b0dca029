"""The content security policy in a real browser: no page of Django admin asks for what it forbids.

For pages of the console `test_every_page.py` shows the same: what is blocked is an error there.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Page

from tests.inventory import Things, admin_addresses

_LISTEN = """document.addEventListener("securitypolicyviolation",
  (event) => console.warn(`POLICY ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`))"""


class Watch:
    """Opens pages and collects what the policy blocked on them."""

    def __init__(self, page: Page, root: str) -> None:
        self.page, self.root = page, root
        self.blocked: list[str] = []
        page.add_init_script(_LISTEN)
        page.on("console", lambda said: self._heard(said.text))

    def _heard(self, text: str) -> None:
        if "POLICY" in text or "Content Security Policy" in text:
            self.blocked.append(f"{self.page.url}: {text}")

    def open(self, path: str) -> int:
        answer = self.page.goto(f"{self.root}{path}", wait_until="load")
        assert answer is not None
        assert "content-security-policy" in answer.headers, path
        return answer.status


@pytest.fixture
def watch(browser, live_server) -> Iterator[Watch]:  # type: ignore[no-untyped-def]
    context = browser.new_context()
    yield Watch(context.new_page(), live_server.url)
    context.close()


@pytest.fixture
def root(db: None) -> User:
    return User.objects.create_superuser("root")


def sign_in(watch: Watch, user: User) -> Client:
    client = Client()
    client.force_login(user)
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    watch.page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": watch.root}])
    return client


def test_the_listener_hears_a_violation(watch: Watch) -> None:
    watch.open("/login/")
    watch.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">x</p>')")
    watch.page.wait_for_timeout(100)

    assert watch.blocked


def test_no_page_of_the_admin_breaks_the_policy(watch: Watch, inventory: Things, root: User) -> None:
    client = sign_in(watch, root)
    seen = {path: watch.open(path) for path in list(admin_addresses(client))}
    watch.page.wait_for_timeout(200)

    assert set(seen.values()) == {200}
    assert len(seen) > 30
    assert not watch.blocked


def test_the_admin_works_under_the_policy(watch: Watch, inventory: Things, root: User) -> None:
    sign_in(watch, root)
    page = watch.page
    watch.open("/admin/loops/run/")
    page.get_by_role("checkbox", name="Select all objects on this page").check()
    page.get_by_label("Action:").select_option("cancel_runs")
    page.get_by_role("button", name="Go", exact=True).click()
    page.get_by_label("Reason").fill("ticket 7")
    page.get_by_role("button", name="Cancel the runs").click()
    page.get_by_text("Done, ").first.wait_for()

    watch.open("/admin/projects/auditevent/?action=run.cancel")
    page.get_by_text("run.cancel").first.wait_for()

    assert not watch.blocked
