"""Govern > API reference: the page around the description. That it draws it is tested in the browser."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.test import Client

REFERENCE = "/projects/platform/govern/api/"


def test_members_of_every_role_see_where_the_description_is(client: Client, vera: User) -> None:
    client.force_login(vera)

    page = client.get(REFERENCE).content.decode()

    assert 'data-description="/v1/openapi.json"' in page
    assert 'data-project="platform"' in page
    assert "needs JavaScript" in page


def test_strangers_are_asked_to_sign_in_or_find_nothing(client: Client, charlie: User, vera: User) -> None:
    assert client.get(REFERENCE).status_code == 302
    client.force_login(charlie)
    assert client.get(REFERENCE).status_code == 404


def test_nothing_can_be_sent_to_it(client: Client, vera: User) -> None:
    client.force_login(vera)

    assert client.post(REFERENCE).status_code == 405


def test_the_api_keys_lead_to_it(admin: Client) -> None:
    assert REFERENCE in admin.get("/projects/platform/govern/api-keys/").content.decode()
