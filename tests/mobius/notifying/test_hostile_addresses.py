"""Whoever is told of runs gets POSTs, too: the rules for addresses hold at this door as at the one for tables."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from mobius.notifying.models import Endpoint, Notification
from mobius.projects.models import Project
from tests.cast import Api
from tests.integrations.hostile import HOSTILE
from tests.mobius.notifying.receiving import deliver_due, napping, play

pytestmark = pytest.mark.django_db
PAGE = "/projects/platform/govern/webhooks/"


@pytest.mark.parametrize("url", [url for url in HOSTILE if url])
def test_a_hostile_address_is_refused_or_leads_nowhere_through_every_door(
    api: Api, client: Client, alice: User, project: Project, dialled: list[Any], url: str
) -> None:
    client.force_login(alice)
    made = api.post(f"{api.root}/webhooks", {"name": "by api", "url": url})
    by_page = client.post(PAGE, {"name": "by page", "url": url})
    other = api.post(f"{api.root}/webhooks", {"name": "quiet"}).json()["id"]
    pinged = api.post(f"{api.root}/webhooks/{other}/ping", {"url": url})

    if made.status_code == 400:
        assert by_page.status_code in (400, 422)
        assert pinged.status_code == 400
        assert list(Endpoint.objects.values_list("name", flat=True)) == ["quiet"]
    else:
        assert (made.status_code, by_page.status_code in (201, 302)) == (201, True)
        assert pinged.json()["success"] is False
        play(napping(project))
        deliver_due()
        told = set(Notification.objects.values_list("state", "status_code", "last_error"))
        assert told == {("pending", None, "The name does not lead to an address that may be used.")}
    assert dialled == []
