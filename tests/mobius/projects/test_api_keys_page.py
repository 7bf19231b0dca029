"""Govern > API keys: making a key, seeing it once, revoking it."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.test import Client

from mobius.api.pagination import make_cursor
from mobius.errors import Unauthorized
from mobius.projects.auditing import SYSTEM
from mobius.projects.key_models import ApiKey, PrincipalState
from mobius.projects.keys import create_key, recognise
from mobius.projects.models import Project
from mobius.projects.principals import default_principal, update_principal
from mobius.projects.roles import Role
from mobius.web.lists import ROWS

KEYS = "/projects/platform/govern/api-keys/"
NEW = {"name": "Clay", "role": "run", "expires_on": ""}


def test_a_new_key_is_shown_once_and_works(admin: Client, project: Project) -> None:
    response = admin.post(KEYS, NEW)

    text = re.search(r"mbx_[\w-]{49}", response.content.decode())
    assert text is not None
    assert response.status_code == 201
    assert "<title>The key “Clay” is made ·" in response.content.decode()
    assert "no-store" in response.headers["Cache-Control"]
    key = recognise(text[0])
    assert (key.project, key.role, key.created_by) == (project, Role.RUN, User.objects.get(username="alice"))
    page = admin.get(KEYS).content.decode()
    assert f"{text[0][:8]}…{text[0][-4:]}" in page
    assert text[0] not in page
    assert text[0] not in str(dict(admin.session))


def test_the_list_shows_every_key_with_its_state(admin: Client, project: Project) -> None:
    assert "No API key yet" in admin.get(KEYS).content.decode()
    create_key(project=project, name="in use", role=Role.OPERATOR)
    ApiKey.objects.update(last_used_at=datetime(2026, 1, 2, tzinfo=UTC))
    expired = create_key(project=project, name="old", role=Role.RUN).record
    ApiKey.objects.filter(pk=expired.pk).update(expires_at=datetime(2026, 1, 2, tzinfo=UTC))

    page = admin.get(KEYS).content.decode()

    for text in ("in use", "Operator", "Active", "2 Jan 2026", "old", "Expired", "Never"):
        assert text in page


def test_the_list_is_paged(admin: Client, project: Project) -> None:
    for number in range(ROWS + 1):
        create_key(project=project, name=f"key {number:02}", role=Role.RUN)

    newest = admin.get(KEYS)
    assert [key.name for key, _ in newest.context["keys"]] == [f"key {number:02}" for number in range(ROWS, 0, -1)]
    older = admin.get(KEYS, {"cursor": newest.context["page"].next_cursor})

    assert [key.name for key, _ in older.context["keys"]] == ["key 00"]
    assert "Newest" in older.content.decode()
    assert admin.get(KEYS, {"cursor": "not ours"}).status_code == 400


def test_a_mistake_on_an_older_page_is_said_there(admin: Client, project: Project) -> None:
    cursor = make_cursor(create_key(project=project, name="Clay", role=Role.RUN).record.pk)

    response = admin.post(f"{KEYS}?cursor={cursor}", NEW | {"name": ""})

    assert response.status_code == 422
    assert "Give the key a name" in response.content.decode()


def test_a_role_that_the_principal_does_not_include_is_explained_beside_the_role(
    admin: Client, project: Project
) -> None:
    update_principal(default_principal(project), {"role": Role.VIEWER}, by=SYSTEM)

    response = admin.post(KEYS, NEW)

    assert response.status_code == 422
    assert "does not include run" in response.context["form"].errors["role"][0]
    assert not ApiKey.objects.exists()


def test_a_page_says_that_the_keys_principal_is_switched_off(admin: Client, project: Project) -> None:
    update_principal(default_principal(project), {"state": PrincipalState.DISABLED}, by=SYSTEM)

    response = admin.post(KEYS, NEW)

    assert response.status_code == 422
    assert "is disabled: a key of it would open nothing." in response.content.decode()
    assert not ApiKey.objects.exists()


def test_a_key_works_to_the_end_of_its_last_day(admin: Client) -> None:
    admin.post(KEYS, NEW | {"expires_on": "2099-01-31"})

    assert ApiKey.objects.get().expires_at == datetime(2099, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": " "}, "Give the key a name"),
        ({"role": ""}, "Choose what the key may do."),
        ({"role": "owner"}, "Select a valid choice"),
        ({"expires_on": "soon"}, "Write a date such as"),
        ({"expires_on": "2020-01-01"}, "This moment has passed"),
    ],
)
def test_a_mistake_is_explained_beside_its_field(admin: Client, changes: dict[str, str], sentence: str) -> None:
    response = admin.post(KEYS, NEW | changes)

    assert response.status_code == 422
    assert response.content.decode().count(sentence) == 2
    assert not ApiKey.objects.exists()


def test_a_name_in_use_is_explained(admin: Client, project: Project) -> None:
    create_key(project=project, name="Clay", role=Role.RUN)

    response = admin.post(KEYS, NEW)

    assert response.status_code == 422
    assert "There is a live key named “Clay”" in response.content.decode()


def test_revoking_asks_first_and_ends_the_key_at_once(admin: Client, project: Project) -> None:
    made = create_key(project=project, name="Clay", role=Role.RUN)
    address = f"{KEYS}{made.record.pk}/revoke/"

    asked = admin.get(address).content.decode()
    assert "This cannot be undone" in asked
    assert f'href="{KEYS}{made.record.pk}/"' in asked
    assert recognise(made.text)

    page = admin.post(address, follow=True).content.decode()
    assert "The key Clay is revoked." in page
    assert "Revoked" in page
    assert address not in page
    with pytest.raises(Unauthorized):
        recognise(made.text)


def test_strangers_are_asked_to_sign_in(client: Client, project: Project) -> None:
    assert client.get(KEYS).headers["Location"] == f"/login/?next={KEYS}"
    assert client.post(KEYS, NEW).headers["Location"].startswith("/login/")
    assert not ApiKey.objects.exists()


def test_members_of_other_projects_find_nothing(client: Client, charlie: User, project: Project) -> None:
    key = create_key(project=project, name="Clay", role=Role.RUN).record
    client.force_login(charlie)

    assert client.get(KEYS).status_code == client.post(KEYS, NEW).status_code == 404
    assert client.post(f"/projects/elsewhere/govern/api-keys/{key.pk}/revoke/").status_code == 404
    key.refresh_from_db()
    assert key.revoked_at is None


def test_too_low_a_role_gets_the_page_that_says_so(client: Client, vera: User, bob: User) -> None:
    for user in (vera, bob):
        client.force_login(user)
        response = client.get(KEYS)

        assert response.status_code == 403
        assert "Your role does not allow this" in response.content.decode()
        assert client.post(KEYS, NEW).status_code == 403
    assert not ApiKey.objects.exists()


def test_a_form_of_another_site_is_refused(alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)

    assert client.post(KEYS, NEW).status_code == 403
    assert not ApiKey.objects.exists()
