"""The shell around every page: who gets in, where the links lead, and what errors look like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.views import LogoutView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.test import Client
from django.urls import include, path

from loops.console.home import root
from mobius.projects.models import Membership, Project
from mobius.projects.roles import Permission, Role
from mobius.web import navigation, views
from mobius.web.access import ProjectRequest, project_page
from tests.cast import PASSWORD

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


@project_page(Permission.READ)
def read(request: ProjectRequest, project: Project) -> HttpResponse:
    return render(request, "base.html")


@project_page(Permission.ADMINISTER)
def administer(request: ProjectRequest, project: Project) -> HttpResponse:
    return HttpResponse(f"{project.handle} {request.access.role.value}")


def explode(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("never mind")


console = [
    path("", read, name="home"),
    path("operate/runs/", read, name="runs"),
    path("operate/runs/run_1/", read, name="run"),
    path("govern/integrations/", read, name="integrations"),
    path("govern/keys/", administer, name="api_keys"),
]
urlpatterns = [
    path("", root, name="root"),
    path("login/", views.Login.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("account/password/", views.password, name="password"),
    path("explode", explode),
    path("projects/<slug:handle>/", include((console, "console"))),
]
handler400 = "mobius.api.envelope.handler400"
handler403 = "mobius.api.envelope.handler403"
handler404 = "mobius.api.envelope.handler404"
handler500 = "mobius.api.envelope.handler500"


@pytest.fixture(autouse=True)
def _these_addresses() -> Iterator[None]:
    """Navigation is computed once: here for the addresses above, afterwards anew for the real ones."""
    navigation.pages_that_exist.cache_clear()
    yield
    navigation.pages_that_exist.cache_clear()


@pytest.fixture
def signed_in(client: Client, vera: User) -> Client:
    """Vera's browser: she is a viewer of `platform`."""
    client.force_login(vera)
    return client


def test_a_stranger_is_asked_to_sign_in_and_led_back(client: Client, project: Project) -> None:
    response = client.get("/projects/platform/operate/runs/")

    assert response.status_code == 302
    assert response.headers["Location"] == "/login/?next=/projects/platform/operate/runs/"


def test_signing_in_never_leads_to_another_site(client: Client, vera: User) -> None:
    form = {"username": "vera", "password": PASSWORD, "next": "https://evil.example/"}

    assert client.post("/login/", form).headers["Location"] == "/"


def test_a_wrong_password_is_explained_and_not_repeated(client: Client, vera: User) -> None:
    page = client.post("/login/", {"username": "vera", "password": "hunter2"}).content.decode()

    assert "That did not work" in page
    assert "data-error-summary" in page
    assert "hunter2" not in page


def test_too_many_wrong_passwords_lock_and_say_how_to_go_on(client: Client, vera: User) -> None:
    for _ in range(5):
        response = client.post("/login/", {"username": "vera", "password": "hunter2"})

    assert response.status_code == 429
    assert "Signing in is locked for now" in response.content.decode()


def test_the_root_leads_to_the_first_project(signed_in: Client) -> None:
    assert signed_in.get("/").headers["Location"] == "/projects/platform/"


def test_somebody_without_a_project_is_told_so(client: Client) -> None:
    client.force_login(User.objects.create_user("nobody"))

    assert "You do not belong to a project yet" in client.get("/").content.decode()


def test_a_project_of_others_looks_like_none_at_all(signed_in: Client, other_project: Project) -> None:
    others, nobodys = signed_in.get("/projects/elsewhere/"), signed_in.get("/projects/nothing/")

    assert others.status_code == nobodys.status_code == 404
    assert others.content == nobodys.content
    assert "There is nothing here" in others.content.decode()


def test_too_low_a_role_gets_the_page_that_says_so(signed_in: Client) -> None:
    response = signed_in.get("/projects/platform/govern/keys/")

    assert response.status_code == 403
    assert "Your role does not allow this" in response.content.decode()


def test_an_admin_gets_in_and_a_superuser_everywhere(client: Client, alice: User) -> None:
    for user in (alice, User.objects.create_superuser("root")):
        client.force_login(user)

        assert client.get("/projects/platform/govern/keys/").content == b"platform admin"


def test_navigation_lists_the_pages_that_exist_and_marks_where_we_are(signed_in: Client) -> None:
    groups = navigation.links("platform", "/projects/platform/operate/runs/run_1/")

    assert [(label, [link.label for link in links]) for label, links in groups] == [
        ("Operate", ["Runs"]),
        ("Govern", ["Integrations", "API keys"]),
    ]
    assert [link.current for _, links in groups for link in links] == ["true", "", ""]
    page = signed_in.get("/projects/platform/operate/runs/").content.decode()
    assert 'href="/projects/platform/operate/runs/" aria-current="page"' in page
    assert 'href="/projects/platform/govern/integrations/">' in page


def test_the_switcher_is_there_only_for_people_with_several_projects(
    signed_in: Client, vera: User, other_project: Project
) -> None:
    assert 'href="/projects/elsewhere/"' not in signed_in.get("/projects/platform/").content.decode()

    Membership.objects.create(project=other_project, user=vera, role=Role.VIEWER)

    assert 'href="/projects/elsewhere/"' in signed_in.get("/projects/platform/").content.decode()


def test_logging_out_is_a_form(signed_in: Client) -> None:
    assert 'method="post" action="/logout/"' in signed_in.get("/projects/platform/").content.decode()
    assert signed_in.get("/logout/").status_code == 405


def test_a_failure_shows_a_page_without_asking_the_database(client: Client, django_assert_num_queries: Any) -> None:
    client.raise_request_exception = False

    with django_assert_num_queries(0):
        response = client.get("/explode")

    assert response.status_code == 500
    assert "Something went wrong on our side" in response.content.decode()


def test_a_form_without_its_token_says_that_it_has_expired() -> None:
    client = Client(enforce_csrf_checks=True)

    assert "This form has expired" in client.post("/login/", {"username": "vera"}).content.decode()
