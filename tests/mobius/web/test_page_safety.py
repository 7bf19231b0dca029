"""Every page outside of `/v1`, found in the URL configuration: its headers, its forms' tokens, and where it may lead.

A page that somebody adds tomorrow is tested by this file today.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import get_resolver

from mobius.projects.models import Session
from tests.cast import PASSWORD
from tests.inventory import Things, admin_addresses, console_addresses, filled, patterns

pytestmark = pytest.mark.django_db
POLICY = "default-src 'none'"


@pytest.fixture
def root(db: None) -> User:
    return User.objects.create_superuser("root", password=PASSWORD)


@pytest.fixture
def browser_of_root(root: User) -> Client:
    client = Client(enforce_csrf_checks=True)
    client.force_login(root)
    return client


def assert_guarded(answer: Any, path: str) -> None:
    policy = answer.headers.get("Content-Security-Policy", "")
    assert "'unsafe" not in policy, path
    for part in (POLICY, "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "form-action 'self'"):
        assert part in policy, path
    assert answer.headers["X-Frame-Options"] == "DENY", path
    assert answer.headers["X-Content-Type-Options"] == "nosniff", path
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin", path
    assert answer.headers["Referrer-Policy"] == "same-origin", path
    assert "no-store" in answer.headers["Cache-Control"], path


# --- headers ---


def test_every_page_of_the_console_carries_the_headers_and_is_never_stored(
    browser_of_root: Client, inventory: Things
) -> None:
    paths = console_addresses()
    assert len(paths) > 40

    for path in paths:
        assert_guarded(browser_of_root.get(filled(path, inventory)), path)


def test_every_page_of_the_admin_carries_the_headers_and_is_never_stored(
    browser_of_root: Client, inventory: Things
) -> None:
    for path in admin_addresses(browser_of_root):
        answer = browser_of_root.get(path)
        assert answer.status_code == 200, path
        assert_guarded(answer, path)


@pytest.mark.parametrize(
    ("path", "more", "status"),
    [
        ("/login/", {}, 200),
        ("/nowhere", {}, 404),
        ("/projects/platform/", {}, 302),
        ("/static/nowhere.css", {}, 404),
        ("/login/%00", {}, 404),
        ("/login/", {"HTTP_HOST": "evil.example"}, 400),
    ],
)
def test_pages_for_strangers_and_errors_carry_the_headers(
    client: Client, path: str, more: dict[str, str], status: int
) -> None:
    answer = client.get(path, **more)  # type: ignore[arg-type]

    assert answer.status_code == status
    assert_guarded(answer, path)


def test_a_page_that_fails_carries_the_headers(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client.raise_request_exception = False
    monkeypatch.setattr("mobius.web.views.Login.template_name", "nowhere.html")

    answer = client.get("/login/")

    assert answer.status_code == 500
    assert_guarded(answer, "/login/")


# --- no form without its token ---


def snapshot() -> dict[str, int]:
    counted = [model for model in apps.get_models() if model not in (Session,) and model._meta.managed]
    return {model.__name__: model._default_manager.count() for model in counted}


def test_no_page_takes_a_form_without_its_token(browser_of_root: Client, inventory: Things) -> None:
    addresses = [filled(path, inventory) for path in console_addresses()]
    addresses += admin_addresses(browser_of_root)
    before = snapshot()

    for path in addresses:
        answer = browser_of_root.post(path, {"name": "x", "role": "admin", "typed": "clay", "decision": "arrived"})
        assert answer.status_code == 403, path
        assert "This form has expired" in answer.content.decode(), path
        assert_guarded(answer, path)

    assert snapshot() == before


def test_a_token_of_another_browser_opens_nothing(browser_of_root: Client, root: User) -> None:
    other = Client()
    other.get("/login/")
    token = other.cookies[settings.CSRF_COOKIE_NAME].value

    answer = browser_of_root.post("/account/password/", {"csrfmiddlewaretoken": token, "old_password": PASSWORD})

    assert answer.status_code == 403


# --- no way out ---

ELSEWHERE = (
    "https://evil.example/",
    "//evil.example/",
    "///evil.example/",
    "/\\evil.example/",
    "\\\\evil.example/",
    "http:evil.example",
    "javascript:alert(1)",
    "https://testserver@evil.example/",
    "\thttps://evil.example/",
    "https://testserver.evil.example/",
)


@pytest.mark.parametrize("place", ELSEWHERE)
def test_signing_in_leads_nowhere_else(client: Client, root: User, place: str) -> None:
    form = {"username": "root", "password": PASSWORD, "next": place}

    assert client.post("/login/", form).headers["Location"] == "/"


@pytest.mark.parametrize("place", ELSEWHERE)
def test_whoever_is_signed_in_already_is_led_nowhere_else(browser_of_root: Client, place: str) -> None:
    assert browser_of_root.get("/login/", {"next": place}).headers["Location"] == "/"


@pytest.mark.parametrize("place", ELSEWHERE)
def test_no_page_takes_its_way_from_the_address(browser_of_root: Client, inventory: Things, place: str) -> None:
    asked = dict.fromkeys(("next", "back", "url", "return", "return_to", "redirect"), place)

    for path in console_addresses():
        answer = browser_of_root.get(filled(path, inventory), asked)
        where = answer.headers.get("Location", "/")
        assert where.startswith("/"), path
        assert not where.startswith(("//", "/\\")), path
        assert f'href="{place}"' not in ("" if answer.streaming else answer.content.decode()), path


def test_the_admin_s_door_leads_to_ours_and_nowhere_else(client: Client, root: User) -> None:
    led = client.get("/admin/login/", {"next": "https://evil.example/"}).headers["Location"]
    assert led.startswith("/login/?next=")

    answer = client.post(led, {"username": "root", "password": PASSWORD, "next": "https://evil.example/"})

    assert answer.headers["Location"] == "/"


# --- cookies ---


def test_cookies_are_not_for_scripts_and_not_for_other_sites(client: Client, root: User) -> None:
    client.get("/login/")
    client.post("/login/", {"username": "root", "password": PASSWORD})

    assert set(client.cookies) == {settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME}
    for cookie in client.cookies.values():
        assert cookie["httponly"]
        assert cookie["samesite"] == "Lax"
        assert not cookie["domain"]
        assert cookie["path"] == "/"


def test_a_part_that_refreshes_itself_leads_the_browser_to_the_sign_in(client: Client, inventory: Things) -> None:
    answer = client.get(filled("/projects/<handle>/operate/runs/<run_id>/live/", inventory), HTTP_HX_REQUEST="true")

    assert (answer.status_code, answer.headers["HX-Refresh"]) == (204, "true")


def test_a_form_sent_after_the_session_has_ended_leads_back_to_a_page_and_not_to_its_own_address(
    client: Client, inventory: Things
) -> None:
    answer = client.post(filled("/projects/<handle>/govern/integrations/<integration_id>/pause/", inventory))

    assert answer.headers["Location"] == "/login/?next=/projects/platform/"


def test_no_view_outside_the_api_is_exempt_from_tokens() -> None:
    views = [(path, pattern.callback) for path, pattern in patterns(get_resolver()) if not path.startswith("/v1/")]

    assert not [path for path, view in views if getattr(view, "csrf_exempt", False)]
