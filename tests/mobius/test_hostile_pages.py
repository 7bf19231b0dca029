"""Every page and the admin, found in the URL configuration itself, against odd addresses, queries, cookies, forms."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import get_resolver

from integrations.models import Integration
from loops.models import Loop
from loops.starting import Start, start_run
from mobius.projects.models import Project
from tests.cast import PASSWORD, work_off
from tests.inventory import patterns

ODD = ("%00", "%FF%ED%A0%80", "x" * 3000, "9" * 40, "%F0%9F%99%82%E2%80%AE{{x}}", "'%20OR%201=1--%0d%0aA:b")
QUERIES = (
    "cursor", "q", "status", "state", "loop", "version", "seen", "test", "name", "run_id", "next", "p", "o", "all", "e",
    "project__id__exact", "status__exact", "created_at__gte", "_popup", "_to_field", "id__in",
)  # fmt: skip


# Django's own admin pages beyond the list and the form of each model are Django's to test.
NOT_OURS = re.compile(
    r"/readyz|/v1/|.*[(^]|/admin/.*/(?:add|delete|history)/|/admin/(?:jsi18n|autocomplete|r|auth/group)/"
)
PAGES = sorted({path for path, _ in patterns(get_resolver()) if not NOT_OURS.match(path)})


@pytest.fixture
def root(client: Client, project: Project) -> Client:
    """Somebody who sees everything. The client does not raise: a 500 is a 500."""
    client.force_login(User.objects.create_superuser("root", password=PASSWORD))
    client.raise_request_exception = False
    return client


@pytest.fixture
def things(integration: Integration, push_leads: Loop) -> dict[str, str]:
    run = start_run(loop=push_leads, start=Start(event={"email": "a"}, meta={}, config={}, source={})).run
    work_off()
    return {
        "handle": "platform",
        "provider_id": "clay",
        "integration_id": integration.pk,
        "loop_id": push_leads.pk,
        "run_id": run.pk,
    }


def filled(path: str, things: dict[str, str], otherwise: str = "1") -> str:
    return re.sub(r"<(\w+)>", lambda found: things.get(found[1], otherwise), path)


def test_the_pages_are_found() -> None:
    assert len(PAGES) > 60
    assert "/projects/<handle>/operate/runs/<run_id>/" in PAGES
    assert "/admin/loops/run/" in PAGES


@pytest.mark.parametrize("path", PAGES)
def test_an_odd_address_is_never_a_fault_of_ours(root: Client, things: dict[str, str], path: str) -> None:
    for odd in ODD:
        address = filled(path, {"handle": "platform"}, odd)

        assert root.get(address).status_code < 500, address


@pytest.mark.parametrize("path", PAGES)
def test_an_odd_query_is_never_a_fault_of_ours(root: Client, things: dict[str, str], path: str) -> None:
    for odd in ODD:
        query = "&".join(f"{name}={odd}" for name in QUERIES)
        assert root.get(f"{filled(path, things)}?{query}").status_code < 500, odd
        assert root.get(f"{filled(path, things)}?q={odd}").status_code < 500, odd


FIELDS = (
    "draft do kind f1 "
    "spec version event idempotency_key reason wall_clock_extend_seconds result decision row typed step_id status name "
    "role expires_on webhook_url auth_header_name auth_header_value workspace submission_limit submissions_used "
    "rate_per_second burst never_twice remove_header test username password next action _selected_action confirmed"
).split()
VALUES = (
    "a\x00b", "\u202e🙂" * 300, "x" * 100_000, "9" * 5_000, "[" * 5_000, '{"a": "\\ud800"}', '{"a": "\\u0000"}',
)  # fmt: skip


@pytest.mark.parametrize("path", [path for path in PAGES if not path.startswith("/logout")])
def test_an_odd_form_is_never_a_fault_of_ours(root: Client, things: dict[str, str], path: str) -> None:
    for value in VALUES:
        answer = root.post(filled(path, things), dict.fromkeys(FIELDS, value))

        assert answer.status_code < 500, (value[:40], answer.content[:300])


BODIES = [
    (b"\xff\xfe\x00", "application/x-www-form-urlencoded"),
    (b"a=%ff%00&%00=b&&&==", "application/x-www-form-urlencoded"),
    (b"a=b&" * 2000, "application/x-www-form-urlencoded"),
    (b"a=" + b"x" * 300_000, "application/x-www-form-urlencoded"),
    (b"a=b", "application/x-www-form-urlencoded; charset=utf-16"),
    (b"a=b", "application/x-www-form-urlencoded; charset=nonsense"),
    (b"abc", "multipart/form-data"),
    (b"abc", "multipart/form-data; boundary=" + "x" * 300),
    (b"--x\r\nContent-Disposition: form-data; name*=nonsense''a\r\n\r\nb\r\n--x--", "multipart/form-data; boundary=x"),
    (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\x00\xff\r\n--x--', "multipart/form-data; boundary=x"),
    (
        b"--x\r\nContent-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64\r\n\r\n!\r\n--x--",
        "multipart/form-data; boundary=x",
    ),
    (b"{}", "application/json"),
    (b"{}", ""),
]


@pytest.mark.parametrize(
    "path", ["/login/", "/account/password/", "/admin/auth/user/add/", "/projects/<handle>/build/loops/new/"]
)
def test_a_body_that_is_no_form_is_never_a_fault_of_ours(root: Client, things: dict[str, str], path: str) -> None:
    for body, content_type in BODIES:
        answer = root.generic("POST", filled(path, things), body, content_type=content_type)

        assert answer.status_code < 500, (content_type, body[:40])


@pytest.mark.parametrize("path", ["/login/", "/nowhere/", "/projects/platform/operate/pushes/new/", "/healthz"])
@pytest.mark.usefixtures("project")
def test_a_huge_upload_is_refused_by_its_length_before_a_byte_of_it_is_read(client: Client, path: str) -> None:
    """Whatever server stands in front: a token of one's own making lets strangers' files be read, too."""
    client.raise_request_exception = False
    token = "a" * 32
    answer = client.generic(
        *("POST", path, b""),
        content_type="multipart/form-data; boundary=x",
        HTTP_COOKIE=f"csrftoken={token}",
        CONTENT_LENGTH=str(10**12),
    )

    assert answer.status_code == 413
    assert "too large" in answer.content.decode().lower()


@pytest.mark.parametrize(
    "cookie", ['"aaaaaaaaaaaa\\000"', "x" * 3000, "%00" * 10, '"\\377\\376' + "a" * 20 + '"', "é" * 20]
)
def test_an_odd_cookie_signs_nobody_in(client: Client, project: Project, cookie: str) -> None:
    client.raise_request_exception = False
    answer = client.get("/", HTTP_COOKIE=f"sessionid={cookie}; csrftoken={cookie}; messages={cookie}")

    assert answer.status_code in (302, 400)
    assert answer.headers.get("Location", "/login/").startswith("/login/")


@pytest.mark.parametrize(
    "name", ["x" * 300, "x" * 100_000, "a\x00b", "\u202eadmin", "🙂" * 300, "' OR 1=1--", "\ud7ff"]
)
@pytest.mark.usefixtures("db")
def test_an_odd_user_name_is_refused_like_any_other(client: Client, name: str) -> None:
    client.raise_request_exception = False
    for _ in range(6):
        answer = client.post("/login/", {"username": name, "password": "x" * 5_000}, HTTP_USER_AGENT="x" * 3_000)

        assert answer.status_code in (200, 429), answer.content[:200]
