"""Large files: whoever reads them slowly must not hold every thread of the server."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from mobius.api import downloads
from mobius.api.downloads import download
from tests.cast import Api

PAGE = "/projects/platform/govern/audit/export.csv"


@pytest.fixture
def busy() -> None:
    """As many downloads as there may be are under way."""
    for _ in range(4):
        downloads.DOWNLOADS.enter()


@pytest.mark.django_db
def test_a_fifth_download_is_asked_to_come_back_over_the_api_and_on_a_page(
    api: Api, client: Client, alice: User, busy: None
) -> None:
    client.force_login(alice)

    for answer in (api.get(f"{api.root}/audit/export.csv"), client.get(PAGE)):
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
        assert "4 downloads are under way already" in answer.content.decode()


@pytest.mark.django_db
def test_a_download_makes_room_when_it_has_ended(api: Api) -> None:
    for number in range(6):
        answer = api.get(f"{api.root}/audit/export.csv")
        assert answer.status_code == 200, number
        assert answer.getvalue().startswith(b"id,")


@pytest.mark.django_db(transaction=True)
def test_a_download_that_nobody_has_read_makes_room_too() -> None:
    for _ in range(6):
        download(iter([b"x"]), format="csv", name="x").close()
