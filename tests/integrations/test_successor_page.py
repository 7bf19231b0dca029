"""A successor on the pages: stage, test, remove, and what the integration's page says about the budget."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from integrations import connecting
from integrations.console import showing
from integrations.models import Integration, Webhook
from integrations.providers.clay.simulator import Behaviour, ClaySimulator

TOKEN = "a-token-nobody-may-see"


@pytest.fixture
def address(integration: Integration) -> str:
    return f"/projects/platform/govern/integrations/{integration.pk}/"


def words(page: bytes) -> str:
    return " ".join(page.decode().split())


def staged(integration: Integration) -> Webhook | None:
    return Webhook.objects.staged_for(integration)


def fields(clay: ClaySimulator, **changes: str) -> dict[str, str]:
    return {"webhook_url": clay.url_for("next"), "auth_header_name": "x-a", "auth_header_value": TOKEN} | changes


def test_staging_with_a_test_makes_it_ready(
    admin: Client, integration: Integration, address: str, clay: ClaySimulator
) -> None:
    page = words(admin.get(f"{address}successor/").content)
    assert "Webhook URL" in page
    assert "Test and stage" in page
    assert "uses one of the webhook" in page

    response = admin.post(f"{address}successor/", fields(clay, test="1"), follow=True)

    page = words(response.content)
    webhook = staged(integration)
    assert webhook is not None
    assert webhook.ready
    assert "Clay accepted the test row" in page
    assert "takes over by itself when the current webhook is full" in page
    assert webhook.masked_url in page
    assert TOKEN not in page
    assert clay.url_for("next") not in page


def test_staging_without_a_test_says_that_it_does_not_take_over_yet(
    admin: Client, integration: Integration, address: str, clay: ClaySimulator
) -> None:
    page = words(admin.post(f"{address}successor/", fields(clay, stage="1"), follow=True).content)

    assert "Not tested" in page
    assert "only once a test of it has succeeded" in page
    assert clay.rows == []

    page = words(admin.post(f"{address}successor/test/", follow=True).content)

    assert "The test succeeded" in page
    assert "Ready" in page


def test_the_webhook_in_use_is_shown_however_many_successors_were_staged_and_replaced(
    admin: Client, integration: Integration, address: str, clay: ClaySimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(showing, "LAST_WEBHOOKS", 2)
    for name in ("one", "two", "three"):
        admin.post(f"{address}successor/", fields(clay, webhook_url=clay.url_for(name), stage="1"))

    shown = admin.get(address).context["shown"]

    assert shown.webhook == connecting.current_webhook(integration)
    assert shown.successor == staged(integration)


def test_a_pasted_curl_command_is_taken_apart(
    admin: Client, integration: Integration, address: str, clay: ClaySimulator
) -> None:
    command = f"curl -X POST '{clay.url_for('next')}' -H 'x-clay-webhook-auth: {TOKEN}' -d '{{}}'"

    admin.post(f"{address}successor/", {"webhook_url": command, "stage": "1"})

    webhook = staged(integration)
    assert webhook is not None
    assert webhook.auth_header_name == "x-clay-webhook-auth"


def test_a_refused_curl_command_says_what_was_taken_and_that_the_secret_must_be_given_again(
    admin: Client, integration: Integration, address: str, clay: ClaySimulator
) -> None:
    command = f"curl -X POST '{clay.url}' -H 'x-clay-webhook-auth: {TOKEN}' -d '{{}}'"

    page = words(admin.post(f"{address}successor/", {"webhook_url": command, "stage": "1"}).content)

    assert "Rows go to this webhook already" in page
    assert "Took the URL and the header x-clay-webhook-auth" in page
    assert "enter it again" in page
    assert TOKEN not in page


def test_a_test_that_fails_is_explained(
    admin: Client, integration: Integration, address: str, clay: ClaySimulator
) -> None:
    clay.next_answers(Behaviour(fail=404))

    page = words(admin.post(f"{address}successor/", fields(clay, test="1"), follow=True).content)

    assert "does not take over until a test succeeds" in page
    assert "There is no webhook at this URL" in page


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"webhook_url": ""}, "Paste the webhook URL."),
        ({"auth_header_value": ""}, "Give the header&#x27;s value too"),
        ({"submission_limit": "0"}, "Write a whole number"),
        ({"submission_limit": "10", "submissions_used": "10"}, "taken all of its 10 rows already"),
    ],
)
def test_wrong_input_is_refused_and_the_token_is_not_shown_again(
    admin: Client, integration: Integration, address: str, clay: ClaySimulator, changes: dict[str, str], sentence: str
) -> None:
    response = admin.post(f"{address}successor/", fields(clay, **changes))

    assert response.status_code == 422
    assert sentence in response.content.decode()
    assert TOKEN not in response.content.decode()
    assert staged(integration) is None


def test_the_current_url_is_refused(admin: Client, address: str, clay: ClaySimulator) -> None:
    response = admin.post(f"{address}successor/", {"webhook_url": clay.url})

    assert response.status_code == 422
    assert "Rows go to this webhook already" in response.content.decode()


def test_removing_it_and_removing_or_testing_nothing(
    admin: Client, integration: Integration, address: str, clay: ClaySimulator
) -> None:
    admin.post(f"{address}successor/", fields(clay, stage="1"))

    assert "is removed" in words(admin.post(f"{address}successor/remove/", follow=True).content)
    assert staged(integration) is None
    assert "There is no successor." in words(admin.post(f"{address}successor/remove/", follow=True).content)
    assert "There is no successor." in words(admin.post(f"{address}successor/test/", follow=True).content)


def test_the_page_lists_the_webhooks_that_were_used_before(
    admin: Client, integration: Integration, address: str, clay: ClaySimulator
) -> None:
    first = connecting.current_webhook(integration)
    admin.post(f"{address}successor/", fields(clay, stage="1"))

    page = words(admin.get(address).content)

    assert "All its webhooks" in page
    assert page.count(first.masked_url) >= 2


@pytest.mark.parametrize(
    ("used", "state"),
    [
        (500, "Half used"),
        (750, "Three quarters used"),
        (900, "Nearly full"),
        (970, "Almost full"),
        (1000, "Full"),
    ],
)
def test_a_budget_that_goes_to_its_end_is_said_in_words_and_colour(
    admin: Client, integration: Integration, address: str, used: int, state: str
) -> None:
    Webhook.objects.update(submission_limit=1000, used=used)

    for path in (address, "/projects/platform/govern/integrations/", "/projects/platform/"):
        page = words(admin.get(path).content)
        assert f"{state}</span>" in page, path
    page = words(admin.get(address).content)
    assert f"{used // 10} % of the submissions are used. Stage a successor, so that nothing stops." in page
    assert 'high="900"' in page


def test_the_warning_knows_the_successor(
    admin: Client, integration: Integration, address: str, clay: ClaySimulator
) -> None:
    Webhook.objects.update(submission_limit=1000, used=980)
    admin.post(f"{address}successor/", fields(clay, stage="1"))
    assert "Test the successor: until then it cannot take over." in words(admin.get(address).content)

    admin.post(f"{address}successor/test/")

    assert "At the limit the successor takes over by itself." in words(admin.get(address).content)


def test_below_half_nothing_is_said(admin: Client, integration: Integration, address: str) -> None:
    Webhook.objects.update(submission_limit=1000, used=499)

    page = words(admin.get(address).content)

    assert "of the submissions are used." not in page
    assert "Half used" not in page


# --- who ---


def test_strangers_sign_in_others_find_nothing_and_low_roles_are_refused(
    client: Client, charlie: User, vera: User, bob: User, integration: Integration, address: str, clay: ClaySimulator
) -> None:
    paths = [f"{address}successor/", f"{address}successor/test/", f"{address}successor/remove/"]
    for path in paths:
        assert client.post(path).headers["Location"].startswith("/login/")
    client.force_login(charlie)
    for path in paths:
        assert client.post(path, fields(clay)).status_code == 404
        assert client.post(path.replace("platform", "elsewhere"), fields(clay)).status_code == 404
    client.force_login(vera)
    assert {client.post(path, fields(clay)).status_code for path in paths} == {403}
    client.force_login(bob)
    assert [client.post(path, fields(clay)).status_code for path in paths] == [403, 302, 403]
    assert "Stage successor" not in client.get(address).content.decode()
    assert staged(integration) is None


def test_opening_an_address_changes_nothing(admin: Client, integration: Integration, address: str) -> None:
    assert admin.get(f"{address}successor/test/").status_code == 405
    assert admin.get(f"{address}successor/remove/").status_code == 405
