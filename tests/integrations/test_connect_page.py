"""Govern > Integrations, and its page that connects a provider."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from integrations.choosing import open_connection
from integrations.connecting import current_webhook
from integrations.models import Integration, WebhookSecret
from integrations.providers.clay.simulator import ClaySimulator
from integrations.providers.registry import all_providers
from mobius.projects import throttling
from mobius.projects.models import Project

LIST = "/projects/platform/govern/integrations/"
CONNECT = f"{LIST}clay/connect/"
CLAY_URL = "https://api.clay.com/v3/sources/webhook/pull-in-data-from-a-webhook-0f1e"
TOKEN = "a-token-nobody-may-see"


def form(**changes: str) -> dict[str, str]:
    return {"webhook_url": CLAY_URL, "auth_header_name": "", "auth_header_value": "", "connect": "1"} | changes


# --- the list -------------------------------------------------------------------------------------------------------


def test_the_list_shows_the_capability_map_of_the_founding_document(admin: Client) -> None:
    page = " ".join(admin.get(LIST).content.decode().split())

    for name, value in [
        ("Provider ID", "clay"),
        ("Auth kind", "api_key"),
        ("Connect flow", "Inline webhook URL"),
        ("Actions", "Yes"),
        ("Events", "No"),
        ("Webhook delivery", "No"),
        ("Event samples", "No"),
        ("Live status", "No"),
    ]:
        assert f'<th scope="row">{name}</th> <td>{value}</td>' in page
    assert "Nothing is connected yet" in page
    assert "Not connected" in page


def test_the_list_has_a_card_for_every_provider_there_is(admin: Client) -> None:
    page = admin.get(LIST).content.decode()

    assert all(f'id="provider-{provider}"' in page for provider in all_providers())


def test_the_list_costs_the_same_queries_however_many_are_connected(admin: Client) -> None:
    def connect_and_count(number: int) -> int:
        admin.post(CONNECT, form(name=f"clay {number}", webhook_url=f"{CLAY_URL}{number}"))
        admin.get(LIST)  # says that it is connected
        with CaptureQueriesContext(connection) as queries:
            assert f"clay {number}" in admin.get(LIST).content.decode()
        return len(queries)

    assert len({connect_and_count(number) for number in (1, 2, 3)}) == 1


def test_the_list_shows_what_is_connected_but_not_its_address(admin: Client, integration: Integration) -> None:
    page = admin.get(LIST).content.decode()
    webhook = current_webhook(integration)

    assert f'href="{LIST}{integration.pk}/"' in page
    assert webhook.masked_url in page
    assert "0 of 50,000 used" in page
    assert open_connection(webhook).webhook_url not in page


def test_a_viewer_sees_the_list_without_the_button(client: Client, vera: User, integration: Integration) -> None:
    client.force_login(vera)

    page = client.get(LIST).content.decode()

    assert integration.name in page
    assert CONNECT not in page
    assert "An admin of the project can connect it" in page


# --- connecting: works ----------------------------------------------------------------------------------------------


def test_the_page_says_where_to_look_and_what_a_test_costs(admin: Client) -> None:
    response = admin.get(CONNECT)
    page = response.content.decode()

    assert "Choose Monitor webhook." in page
    assert "uses one of the webhook&#x27;s 50,000" in page
    assert "no-store" in response.headers["Cache-Control"]
    for label in ("Webhook URL", "Auth header name", "Auth header value"):
        assert f">{label}</label>" in page
    for button in ("Test and connect", "Connect without test"):
        assert f">{button}</button>" in " ".join(page.split())


def test_the_token_box_offers_the_header_without_setting_it(admin: Client) -> None:
    page = admin.get(CONNECT).content.decode()

    assert 'data-fill-with="x-clay-webhook-auth"' in page
    assert 'placeholder="x-clay-webhook-auth"' in page
    assert 'value="x-clay-webhook-auth"' not in page


def test_connecting_without_a_test_sends_nothing(admin: Client, project: Project, clay: ClaySimulator) -> None:
    response = admin.post(CONNECT, form(webhook_url=clay.url, auth_header_name="x-a", auth_header_value=TOKEN))

    made = Integration.objects.get(project=project)
    assert response.headers["Location"] == f"{LIST}{made.pk}/"
    assert made.name == "clay"
    assert made.created_by == "alice"
    assert open_connection(current_webhook(made)).auth_header_value == TOKEN
    assert clay.rows == []
    page = admin.get(response.headers["Location"]).content.decode()
    assert "Clay is connected as clay." in page
    assert TOKEN not in page


def test_test_and_connect_sends_one_marked_row_and_shows_what_came_of_it(admin: Client, clay: ClaySimulator) -> None:
    response = admin.post(CONNECT, form(webhook_url=clay.url) | {"test": "1"}, follow=True)
    page = response.content.decode()

    assert [row.body["_test"] for row in clay.rows] == [True]
    assert "Clay accepted the test row" in page
    assert "Clear the view filter." in page
    assert clay.url not in page


def test_a_failed_test_leaves_it_connected_and_says_what_to_do(
    admin: Client, project: Project, clay: ClaySimulator
) -> None:
    clay.change(token="another")

    page = admin.post(CONNECT, form(webhook_url=clay.url) | {"test": "1"}, follow=True).content.decode()

    assert Integration.objects.filter(project=project).exists()
    assert "Clay refused the test row" in page
    assert "The token is missing or wrong." in page
    assert "use Rotate here" in page


def test_a_pasted_curl_command_is_taken_apart(admin: Client, project: Project) -> None:
    command = (
        f"curl -X POST '{CLAY_URL}' -H 'Content-Type: application/json' -H 'x-clay-webhook-auth: {TOKEN}' -d '{{}}'"
    )

    page = admin.post(CONNECT, form(webhook_url=command), follow=True).content.decode()

    assert "Took the URL and the header x-clay-webhook-auth from the curl command." in page
    assert TOKEN not in page
    connection = open_connection(current_webhook(Integration.objects.get(project=project)))
    assert (connection.webhook_url, connection.auth_header_name) == (CLAY_URL, "x-clay-webhook-auth")
    assert connection.auth_header_value == TOKEN


def test_what_is_probably_a_mistake_is_accepted_with_a_warning(admin: Client, project: Project) -> None:
    bearer = form(auth_header_name="Authorization", auth_header_value="Bearer x")

    assert "Clay does not look at Authorization" in admin.post(CONNECT, bearer, follow=True).content.decode()
    elsewhere = form(webhook_url="https://hooks.example.com/x", name="other")
    assert "rows will go to hooks.example.com" in admin.post(CONNECT, elsewhere, follow=True).content.decode()
    assert Integration.objects.filter(project=project).count() == 2
    assert "accepted too, with a warning" in admin.get(CONNECT).content.decode()


def test_reconnecting_keeps_the_name_and_says_what_it_replaces(admin: Client, integration: Integration) -> None:
    page = admin.get(f"{CONNECT}?name={integration.name}").content.decode()

    assert "Reconnect clay" in page
    assert 'name="name" value="clay"' in page
    assert "Connected already: <bdi>clay</bdi>." in page


def test_options_are_set_with_the_connection(admin: Client, project: Project) -> None:
    options = {"name": "leads", "workspace": "sales", "submission_limit": "unlimited", "rate_per_second": "5"}

    admin.post(CONNECT, form(**options))

    made = Integration.objects.get(project=project)
    assert (made.name, made.pacer.label, made.pacer.rate_per_second) == ("leads", "sales", 5.0)
    assert current_webhook(made).submission_limit is None


# --- connecting: refuses bad input, and explains --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"webhook_url": ""}, "Paste the webhook URL."),
        ({"webhook_url": "http://10.0.0.1/x"}, "Only https on port 443 is used"),
        ({"webhook_url": "https://169.254.169.254/x"}, "private or reserved network"),
        ({"auth_header_name": "x-clay-webhook-auth"}, "Give the header&#x27;s value too, or clear its name."),
        ({"auth_header_value": TOKEN}, "Give the header&#x27;s name too, or clear its value."),
        ({"auth_header_name": "Host", "auth_header_value": TOKEN}, "is set by the sender itself"),
        ({"name": "<b>"}, "Use letters, digits"),
        ({"submission_limit": "many"}, "Write a whole number"),
        ({"webhook_url": f"curl '{CLAY_URL} -H 'x: {TOKEN}'"}, "is never closed"),
        ({"webhook_url": f"curl {CLAY_URL} -H 'x: {TOKEN}' -H 'y: {TOKEN}'"}, "sends several headers (x, y)"),
    ],
)
def test_a_mistake_is_explained_at_the_top_and_beside_its_field(
    admin: Client, changes: dict[str, str], sentence: str
) -> None:
    response = admin.post(CONNECT, form(**changes))
    page = response.content.decode()

    assert response.status_code == 422
    assert page.count(sentence) == 2
    assert "data-error-summary" in page
    assert TOKEN not in page
    assert not Integration.objects.exists()
    assert not WebhookSecret.objects.exists()


def test_typed_values_are_kept_but_not_the_secret(admin: Client) -> None:
    mistake = form(auth_header_name="x-clay-webhook-auth", auth_header_value=TOKEN, submission_limit="many")

    page = admin.post(CONNECT, mistake).content.decode()

    assert f'value="{CLAY_URL}"' in page
    assert 'value="x-clay-webhook-auth"' in page
    assert 'value="many"' in page
    assert TOKEN not in page
    assert "enter it again" in page


def test_the_address_of_another_integration_is_refused_by_name(admin: Client, project: Project) -> None:
    admin.post(CONNECT, form(name="first"))

    response = admin.post(CONNECT, form(name="second"))

    assert response.status_code == 422
    assert "This webhook is connected already, as first." in response.content.decode()
    assert Integration.objects.filter(project=project).count() == 1


def test_an_unknown_provider_is_not_found(admin: Client) -> None:
    assert admin.get(f"{LIST}nobody/connect/").status_code == 404


# --- connecting: refuses strangers ----------------------------------------------------------------------------------


def test_strangers_are_asked_to_sign_in(client: Client, project: Project) -> None:
    for path in (LIST, CONNECT):
        assert client.get(path).headers["Location"] == f"/login/?next={path}"
    assert client.post(CONNECT, form()).headers["Location"].startswith("/login/")
    assert not Integration.objects.exists()


def test_members_of_other_projects_find_nothing(client: Client, charlie: User, project: Project) -> None:
    client.force_login(charlie)

    assert client.get(LIST).status_code == client.get(CONNECT).status_code == 404
    assert client.post(CONNECT, form()).status_code == 404
    assert not Integration.objects.exists()


def test_too_low_a_role_cannot_connect(client: Client, bob: User) -> None:
    client.force_login(bob)

    assert client.get(CONNECT).status_code == client.post(CONNECT, form()).status_code == 403
    assert not Integration.objects.exists()


def test_a_form_of_another_site_is_refused(alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)

    assert client.post(CONNECT, form()).status_code == 403
    assert not Integration.objects.exists()


# --- before it is sent ----------------------------------------------------------------------------------------------


ONLY_CHECK = {"X-Only-Check": "1"}


def test_a_check_says_what_is_wrong_with_each_field_and_connects_nothing(admin: Client) -> None:
    fields = form(webhook_url="http://10.0.0.1/x", auth_header_name="x-a b", submission_limit="many")

    answer = admin.post(CONNECT, fields, headers=ONLY_CHECK)

    assert answer.status_code == 200
    assert set(answer.json()["errors"]) == {"webhook_url", "auth_header_name", "submission_limit"}
    assert answer.json()["errors"]["submission_limit"] == [
        "Write a whole number from 1 to 1,000,000,000, or unlimited."
    ]
    assert not Integration.objects.exists()


def test_a_check_of_a_valid_form_connects_nothing_either_and_warns(admin: Client) -> None:
    answer = admin.post(CONNECT, form(webhook_url="https://hooks.example.com/in"), headers=ONLY_CHECK)

    assert answer.json()["errors"] == {}
    assert "Clay's own webhooks are at api.clay.com" in answer.json()["warnings"][0]
    assert not Integration.objects.exists()


def test_a_check_says_what_a_submission_says(admin: Client) -> None:
    fields = form(webhook_url="https://api.clay.com/<id>", auth_header_name="x-a", rate_per_second="fast")

    errors = admin.post(CONNECT, fields, headers=ONLY_CHECK).json()["errors"]

    refused = admin.post(CONNECT, fields)
    assert refused.status_code == 422
    assert errors == {name: list(sentences) for name, sentences in refused.context["form"].errors.items()}


def test_a_check_reads_a_pasted_curl_command_and_echoes_no_secret(admin: Client) -> None:
    pasted = f"curl '{CLAY_URL}' -H 'x-clay-webhook-auth: {TOKEN}'"

    for fields in (form(webhook_url=pasted), form(webhook_url=f"http{CLAY_URL}", auth_header_value=TOKEN)):
        answer = admin.post(CONNECT, fields, headers=ONLY_CHECK)
        assert TOKEN.encode() not in answer.content
        assert b"webhook-0f1e" not in answer.content
    assert admin.post(CONNECT, form(webhook_url=pasted), headers=ONLY_CHECK).json()["errors"] == {}


def test_a_check_is_for_those_who_may_connect(client: Client, bob: User, charlie: User) -> None:
    assert client.post(CONNECT, form(), headers=ONLY_CHECK).status_code == 302
    for user, status in ((bob, 403), (charlie, 404)):
        client.force_login(user)
        assert client.post(CONNECT, form(), headers=ONLY_CHECK).status_code == status


def test_too_many_checks_are_refused_and_the_form_can_still_be_sent(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttling, "FORM_CHECKS", replace(throttling.FORM_CHECKS, per_minute=2))
    statuses = [admin.post(CONNECT, form(), headers=ONLY_CHECK).status_code for _ in range(3)]

    assert statuses == [200, 200, 429]
    assert admin.post(CONNECT, form()).status_code == 302


@pytest.mark.parametrize(
    ("place", "fields", "wrong"),
    [
        ("rotate", {"auth_header_name": "x-a"}, "auth_header_value"),
        ("settings", {"name": "clay", "rate_per_second": "fast"}, "rate_per_second"),
        ("successor", {"webhook_url": "nowhere"}, "webhook_url"),
    ],
)
def test_the_other_forms_of_an_integration_are_checked_likewise(
    admin: Client, integration: Integration, place: str, fields: dict[str, str], wrong: str
) -> None:
    before = Integration.objects.values().get(), list(WebhookSecret.objects.values())

    answer = admin.post(f"{LIST}{integration.pk}/{place}/", fields, headers=ONLY_CHECK)

    assert wrong in answer.json()["errors"]
    assert (Integration.objects.values().get(), list(WebhookSecret.objects.values())) == before
