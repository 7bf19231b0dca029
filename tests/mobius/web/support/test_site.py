"""The first page of Django admin: which console this is, and what needs somebody."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from integrations.models import Attempt, Integration, Webhook
from loops.models import Loop
from mobius import clock
from mobius.alerting.models import Alert
from mobius.web.support.site import SupportSite
from tests.cast import PASSWORD
from tests.mobius.web.support.doors import page


def test_the_header_says_which_product_this_is(support: Client) -> None:
    assert "Mobius console" in support.get(reverse("admin:index")).content.decode()


@pytest.mark.parametrize(("environment", "header"), [("staging", "Mobius console · staging"), ("", "Mobius console")])
def test_the_header_says_which_environment_this_is(settings: Any, environment: str, header: str) -> None:
    settings.MOBIUS_ENVIRONMENT = environment

    assert SupportSite().site_header == SupportSite().site_title == header


@pytest.mark.parametrize(("environment", "is_marked"), [("Production", True), ("staging", False)])
def test_every_page_of_production_is_marked(
    settings: Any, support: Client, in_doubt: Attempt, environment: str, is_marked: bool
) -> None:
    settings.MOBIUS_ENVIRONMENT = environment

    for path in (reverse("admin:index"), page(Attempt, "changelist"), page(Attempt, "change", in_doubt.pk)):
        assert ("production" in support.get(path).content.decode().partition("<body")[2][:300]) is is_marked


def counters(client: Client) -> dict[str, str]:
    return {one["label"]: one["number"] for one in client.get(reverse("admin:index")).context["counters"]}


def test_the_first_page_counts_what_needs_somebody_and_leads_there(
    support: Client, in_doubt: Attempt, push_leads: Loop
) -> None:
    Webhook.objects.update(submission_limit=100, used=91)
    Integration.objects.update(status="inactive")
    Alert.objects.create(
        **{"project_id": in_doubt.project_id, "condition": "callbacks_overdue", "object_id": push_leads.pk},
        **{"level": 1, "summary": "a callback is overdue", "to_do": "Look.", "opened_at": clock.now()},
    )
    shown = support.get(reverse("admin:index"))

    assert counters(support) == {
        "rows in doubt": "1",
        "webhooks over 90 % of their budget": "1",
        "integrations paused": "1",
        "loops with callbacks overdue": "1",
    }
    for counter in shown.context["counters"]:
        assert len(support.get(counter["url"]).context["cl"].result_list) == 1, counter["label"]


def test_when_nothing_needs_anybody_the_counters_are_calm(support: Client, integration: Integration) -> None:
    shown = support.get(reverse("admin:index"))

    assert set(counters(support).values()) == {"0"}
    assert all(one["calm"] for one in shown.context["counters"])


def test_nobody_counts_further_than_a_thousand(
    monkeypatch: pytest.MonkeyPatch, support: Client, in_doubt: Attempt
) -> None:
    monkeypatch.setattr("mobius.web.support.site.MOST_COUNTED", 0)

    assert counters(support)["rows in doubt"] == "more than 0"


def test_who_may_not_see_a_list_is_not_told_how_long_it_is(db: None, client: Client) -> None:
    client.force_login(User.objects.create_user("nora", password=PASSWORD, is_staff=True))

    assert counters(client) == {}
