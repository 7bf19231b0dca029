"""The page of one integration: its state, its test, and what an admin may do to it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from integrations import connecting
from integrations.choosing import open_connection
from integrations.connecting import current_webhook
from integrations.forms import Options
from integrations.models import Attempt, Integration, IntegrationStatus, Webhook, WebhookSecret
from integrations.probing import probe
from integrations.providers.clay.simulator import ClaySimulator
from integrations.providers.contract import Connection
from integrations.recalling import recall
from integrations.succession import stage
from mobius import clock
from mobius.projects.models import Project

TOKEN = "a-token-nobody-may-see"
ACTIONS = ("test", "pause", "resume", "rotate", "settings", "disconnect")


@pytest.fixture
def address(integration: Integration) -> str:
    return f"/projects/platform/govern/integrations/{integration.pk}/"


def words(page: bytes) -> str:
    return " ".join(page.decode().split())


def settings_of(**changes: str) -> dict[str, str]:
    """The settings form as it is drawn, with `changes`."""
    return {
        "name": "clay",
        "workspace": "default",
        "submission_limit": "50000",
        "submissions_used": "",
        "rate_per_second": "unlimited",
        "burst": "18",
        "never_twice": "on",
    } | changes


# --- the page -------------------------------------------------------------------------------------------------------


def test_the_page_shows_status_usage_and_connection_but_no_secret(
    admin: Client, integration: Integration, address: str, clay: ClaySimulator
) -> None:
    connecting.rotate(integration, auth_header_name="x-a", auth_header_value=TOKEN)
    Webhook.objects.update(used=12_345, in_flight=2)

    response = admin.get(address)
    page = words(response.content)

    masked = current_webhook(integration).masked_url
    for text in ("Active", "12,345 of 50,000 used", "37,653", "x-a", "<bdi>default</bdi>, unpaced", masked):
        assert text in page
    assert TOKEN not in page
    assert clay.url not in page
    assert "no-store" in response.headers["Cache-Control"]


def test_the_last_attempts_are_listed_newest_first(admin: Client, integration: Integration, address: str) -> None:
    for number in range(22):
        probe(integration, {"number": number, "request_id": f"request-{number:02}"})

    page = admin.get(address).content.decode()

    assert page.count("request-") == 20
    assert page.index("request-21") < page.index("request-20")
    assert "request-01" not in page


def test_a_delivery_leads_to_its_run(admin: Client, integration: Integration, address: str) -> None:
    probe(integration)
    Attempt.objects.update(run_id="run_1")

    assert f'href="{reverse("console:run", args=["platform", "run_1"])}"' in admin.get(address).content.decode()


def test_who_shares_the_pace_is_named(admin: Client, integration: Integration, address: str) -> None:
    assert "shared with" not in admin.get(address).content.decode()
    Integration.objects.create(
        project=integration.project, name="second", provider="clay", pacer=integration.pacer, status="active"
    )

    assert "shared with <bdi>second</bdi>" in admin.get(address).content.decode()


def test_the_forecast_is_a_date(admin: Client, integration: Integration, address: str) -> None:
    for _ in range(12):
        probe(integration)
    Webhook.objects.update(created_at=clock.now() - timedelta(days=7), used=49_988)

    assert "the limit is reached on" in admin.get(address).content.decode()


def test_at_the_limit_the_page_says_what_to_do(admin: Client, integration: Integration, address: str) -> None:
    Webhook.objects.update(used=50_000)

    assert "Connect the URL of a new webhook." in admin.get(address).content.decode()
    page = admin.post(f"{address}test/", {"row": "{}"})
    assert page.status_code == 422
    assert "has taken all of its 50,000 rows, so nothing was sent" in page.content.decode()


def test_at_the_limit_an_untested_successor_asks_for_a_test_and_not_for_another_webhook(
    admin: Client, integration: Integration, address: str, clay: ClaySimulator
) -> None:
    Webhook.objects.update(used=50_000)
    stage(integration, Connection(webhook_url=clay.url_for("next")), Options())

    page = admin.get(address).content.decode()
    assert "Test the successor: until then it cannot take over." in page
    assert "Connect the URL of a new webhook." not in page


def test_an_integration_whose_secret_cannot_be_read_says_reconnect(
    admin: Client, integration: Integration, address: str
) -> None:
    WebhookSecret.objects.all().delete()
    Integration.objects.update(status=IntegrationStatus.EXPIRED, attention="Its secret cannot be read.")

    page = words(admin.get(address).content)

    assert "Reconnect this integration" in page
    assert "Needs reconnect" in page
    assert admin.get(f"{address}rotate/").headers["Location"] == address


# --- the test -------------------------------------------------------------------------------------------------------


def test_a_test_sends_the_edited_row_and_shows_the_answer(
    admin: Client, integration: Integration, address: str, clay: ClaySimulator
) -> None:
    assert "A test creates one row in your Clay table" in admin.get(address).content.decode()

    response = admin.post(f"{address}test/", {"row": '{"email": "grace@example.com"}'})

    attempt = Attempt.objects.get()
    assert response.headers["Location"] == f"{address}?test={attempt.pk}"
    assert clay.rows[0].body == {"email": "grace@example.com"}
    page = words(admin.get(response.headers["Location"]).content)
    for text in ("Clay accepted the test row", "200", f"{attempt.latency_ms} ms", "Clear the view filter."):
        assert text in page
    assert page.count("Yes</span>") == 5


@pytest.mark.parametrize(
    ("options", "verdict", "sentence"),
    [
        ({"token": "other"}, "Clay refused the test row", "The token is missing or wrong."),
        ({"fail": 500}, "Nobody knows whether the test row arrived", "Look for the row in Clay"),
    ],
)
def test_a_test_that_fails_says_why_and_what_to_do(
    admin: Client, address: str, clay: ClaySimulator, options: dict[str, object], verdict: str, sentence: str
) -> None:
    clay.change(**options)

    page = words(admin.post(f"{address}test/", {"row": "{}"}, follow=True).content)

    assert verdict in page
    assert sentence in page
    assert "Clear the view filter" not in page


def test_what_is_read_back_of_a_test_is_what_it_found(integration: Integration, clay: ClaySimulator) -> None:
    accepted = probe(integration)
    clay.change(token="other")
    refused = probe(integration)

    for found in (accepted, refused):
        again = recall(found.attempt)
        assert (again.stages, again.diagnosis, again.ok) == (found.stages, found.diagnosis, found.ok)


def test_a_test_of_a_server_that_is_gone_stops_at_the_address(integration: Integration, clay: ClaySimulator) -> None:
    clay.stop()

    found = probe(integration)

    assert recall(found.attempt).stages == found.stages
    assert [stage.value for stage in found.stages] == ["address"]


def test_the_connection_and_its_certificate_are_told_apart(
    admin: Client, integration: Integration, address: str
) -> None:
    attempt = probe(integration).attempt
    page = f"{address}?test={attempt.pk}"

    def stages() -> dict[str, bool]:
        return {one.word: one.reached for one in admin.get(page).context["outcome"].stages}

    assert list(stages()) == ["Address found", "Connected", "Row sent", "Answer received", "Row accepted"]

    Webhook.objects.update(url_scheme="https")
    Attempt.objects.update(state="not_sent", failure="tls", status_code=None)
    assert list(stages().items())[:4] == [
        ("Address found", True),
        ("Connected", True),
        ("Certificate trusted", False),
        ("Row sent", False),
    ]
    Attempt.objects.update(failure="connect")
    assert [word for word, reached in stages().items() if reached] == ["Address found"]


@pytest.mark.parametrize("row", ["", "nonsense", "[1]", '{"a": NaN}', '{"a": 1, "a": 2}'])
def test_a_row_that_is_no_json_object_is_refused_and_kept(
    admin: Client, address: str, clay: ClaySimulator, row: str
) -> None:
    response = admin.post(f"{address}test/", {"row": row})

    assert response.status_code == 422
    assert "data-error-summary" in response.content.decode()
    assert clay.rows == []


def test_a_row_too_large_for_the_provider_is_explained(admin: Client, address: str, clay: ClaySimulator) -> None:
    response = admin.post(f"{address}test/", {"row": '{"a": "' + "x" * 110_000 + '"}'})

    assert response.status_code == 422
    assert "Shorten its largest keys: a (110,002 bytes)." in response.content.decode()
    assert clay.rows == []


def test_a_test_that_succeeds_resumes(admin: Client, integration: Integration, address: str) -> None:
    connecting.pause(integration)

    admin.post(f"{address}test/", {"row": "{}"})

    integration.refresh_from_db()
    assert integration.usable


# --- pausing, rotating, settings, disconnecting ---------------------------------------------------------------------


def test_pausing_and_resuming(admin: Client, integration: Integration, address: str) -> None:
    page = words(admin.post(f"{address}pause/", follow=True).content)

    assert "Paused" in page
    assert "Resume" in page
    assert "clay sends again." in words(admin.post(f"{address}resume/", follow=True).content)
    integration.refresh_from_db()
    assert integration.usable


def test_rotating_replaces_the_header_and_keeps_the_url(
    admin: Client, integration: Integration, address: str, clay: ClaySimulator
) -> None:
    new = {"auth_header_name": "Authorization", "auth_header_value": TOKEN}

    page = words(admin.post(f"{address}rotate/", new, follow=True).content)

    connection = open_connection(current_webhook(integration))
    assert (connection.webhook_url, connection.auth_header_value) == (clay.url, TOKEN)
    assert "uses the new auth header" in page
    assert TOKEN not in page


def test_a_new_header_is_tried_before_it_replaces_the_old_one(
    admin: Client, integration: Integration, address: str, clay: ClaySimulator
) -> None:
    clay.change(token=TOKEN)
    header = {"auth_header_name": "x-clay-webhook-auth", "test": "1"}

    for _ in range(4):  # as many refusals of what is stored would pause the integration
        wrong = admin.post(f"{address}rotate/", header | {"auth_header_value": "mistyped-token"})

    integration.refresh_from_db()
    assert wrong.status_code == 422
    assert "the old header stays in use" in words(wrong.content)
    assert "What to do:" in words(wrong.content)
    assert (integration.usable, integration.attention) == (True, "")
    assert current_webhook(integration).auth_header_name == ""

    right = admin.post(f"{address}rotate/", header | {"auth_header_value": TOKEN}, follow=True)

    assert "It was tested and accepted." in words(right.content)
    assert open_connection(current_webhook(integration)).auth_header_value == TOKEN
    assert len(clay.rows) == 1


def test_a_header_that_could_not_be_tried_replaces_nothing(
    admin: Client, integration: Integration, address: str
) -> None:
    Webhook.objects.update(submission_limit=1, used=1)

    refused = admin.post(f"{address}rotate/", {"auth_header_name": "x-a", "auth_header_value": TOKEN, "test": "1"})

    assert refused.status_code == 422
    assert "The test could not be sent, so the old header stays in use." in words(refused.content)
    assert current_webhook(integration).auth_header_name == ""


def test_taking_the_header_away_must_be_meant(admin: Client, integration: Integration, address: str) -> None:
    connecting.rotate(integration, auth_header_name="x-a", auth_header_value=TOKEN)
    nothing = {"auth_header_name": "", "auth_header_value": ""}

    assert admin.post(f"{address}rotate/", nothing).status_code == 422
    assert current_webhook(integration).auth_header_name == "x-a"
    assert admin.post(f"{address}rotate/", nothing | {"remove_header": "on"}).status_code == 302
    assert current_webhook(integration).auth_header_name == ""


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"auth_header_name": "x-a", "auth_header_value": ""}, "Give the header&#x27;s value too"),
        ({"auth_header_name": "Host", "auth_header_value": TOKEN}, "is set by the sender itself"),
        ({"auth_header_name": "x-a", "auth_header_value": TOKEN, "remove_header": "on"}, "not both"),
    ],
)
def test_a_wrong_header_is_refused_by_the_rules_of_connecting(
    admin: Client, integration: Integration, address: str, fields: dict[str, str], sentence: str
) -> None:
    response = admin.post(f"{address}rotate/", fields)

    assert response.status_code == 422
    assert sentence in response.content.decode()
    assert TOKEN not in response.content.decode()
    assert current_webhook(integration).auth_header_name == ""


def test_settings_change_only_what_was_changed(admin: Client, integration: Integration, address: str) -> None:
    Webhook.objects.update(used=7)

    response = admin.post(f"{address}settings/", settings_of(name="leads", submission_limit="100", wait_at_limit="on"))

    assert response.headers["Location"] == address
    integration.refresh_from_db()
    webhook = current_webhook(integration)
    assert (integration.name, integration.never_twice, integration.wait_at_limit) == ("leads", True, True)
    assert (webhook.submission_limit, webhook.used) == (100, 7)
    assert integration.pacer.rate_per_second is None


def test_joining_another_workspace_leaves_its_pace_alone(
    admin: Client, integration: Integration, project: Project, address: str
) -> None:
    project.pacers.create(label="sales", rate_per_second=5)

    admin.post(f"{address}settings/", settings_of(workspace="sales", submissions_used="40"))

    integration.refresh_from_db()
    assert (integration.pacer.label, integration.pacer.rate_per_second) == ("sales", 5)
    assert current_webhook(integration).used == 40


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": ""}, "This field is required."),
        ({"name": "<b>"}, "Use letters, digits"),
        ({"submission_limit": "0"}, "Write a whole number"),
        ({"rate_per_second": "fast"}, "Write a number from 0.01"),
        ({"submissions_used": "-1"}, "greater than or equal to 0"),
    ],
)
def test_wrong_settings_are_refused(admin: Client, address: str, changes: dict[str, str], sentence: str) -> None:
    response = admin.post(f"{address}settings/", settings_of(**changes))

    assert response.status_code == 422
    assert sentence in response.content.decode()


def test_a_name_that_is_taken_is_refused(
    admin: Client, integration: Integration, project: Project, address: str
) -> None:
    Integration.objects.create(project=project, provider="clay", name="leads", pacer=integration.pacer)

    response = admin.post(f"{address}settings/", settings_of(name="leads", submission_limit="5"))

    assert response.status_code == 422
    assert "There is an integration named leads already." in response.content.decode()
    assert current_webhook(integration).submission_limit == 50_000


def test_disconnecting_asks_for_the_name_and_erases_the_secrets(
    admin: Client, integration: Integration, address: str
) -> None:
    probe(integration)
    page = words(admin.get(f"{address}disconnect/").content)
    assert "1 delivery and the webhook's count stay on record" in page

    assert admin.post(f"{address}disconnect/", {"typed": "cley"}).status_code == 422
    assert Integration.objects.exists()

    page = words(admin.post(f"{address}disconnect/", {"typed": "clay"}, follow=True).content)
    assert "clay is disconnected" in page
    assert not Integration.objects.exists()
    assert not WebhookSecret.objects.exists()
    assert Attempt.objects.count() == 1


def test_a_name_that_holds_markup_stays_text(admin: Client, integration: Integration, address: str) -> None:
    connecting.rename(integration, "<script>alert(1)</script>")

    for path in (address, f"{address}disconnect/", f"{address}settings/", "/projects/platform/govern/integrations/"):
        assert b"<script>alert" not in admin.get(path).content


# --- refuses strangers ----------------------------------------------------------------------------------------------


def test_strangers_are_asked_to_sign_in(client: Client, integration: Integration, address: str) -> None:
    for path in (address, *(f"{address}{action}/" for action in ACTIONS)):
        assert client.post(path).headers["Location"].startswith("/login/")
    integration.refresh_from_db()
    assert integration.usable


def test_members_of_other_projects_find_nothing(
    client: Client, charlie: User, integration: Integration, address: str
) -> None:
    client.force_login(charlie)
    own = address.replace("platform", "elsewhere")

    for path in (address, own, *(f"{place}{action}/" for place in (address, own) for action in ACTIONS)):
        assert client.post(path, {"typed": "clay", "row": "{}"}).status_code in (404, 405)
    assert client.get(address).status_code == client.get(own).status_code == 404
    integration.refresh_from_db()
    assert integration.usable


def test_a_viewer_reads_an_operator_tests_and_neither_changes_anything(
    client: Client, vera: User, bob: User, integration: Integration, address: str
) -> None:
    client.force_login(vera)
    page = client.get(address).content.decode()
    assert "Edit the sample row" not in page
    assert client.post(f"{address}test/", {"row": "{}"}).status_code == 403

    client.force_login(bob)
    page = client.get(address).content.decode()
    assert "Edit the sample row" in page
    assert "Disconnect" not in page
    assert client.post(f"{address}test/", {"row": "{}"}).status_code == 302
    for action in ACTIONS[1:]:
        assert client.post(f"{address}{action}/", {"typed": "clay"}).status_code == 403
    assert Integration.objects.get().usable


def test_nothing_changes_by_merely_opening_an_address(admin: Client, integration: Integration, address: str) -> None:
    for action in ("test", "pause", "resume"):
        assert admin.get(f"{address}{action}/").status_code == 405
    for action in ("rotate", "settings", "disconnect"):
        assert admin.get(f"{address}{action}/").status_code == 200
    integration.refresh_from_db()
    assert integration.usable


def test_an_integration_whose_webhook_is_gone_still_has_its_pages(
    admin: Client, integration: Integration, address: str
) -> None:
    Webhook.objects.update(state="retired")

    assert "There is no webhook. Reconnect this integration." in words(admin.get(address).content)
    assert admin.get("/projects/platform/govern/integrations/").status_code == 200
