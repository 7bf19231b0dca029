"""Testing an integration there and back: the row takes an address along, and what is posted there is seen."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.test import Client

from integrations.models import Attempt, AttemptState, Integration
from integrations.probing import probe
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from loops.callback_addresses import give_address_of_test
from loops.console.runs import STOP_POLLING
from loops.models import Callback, CallbackState
from mobius.projects.models import Project
from tests.cast import Api
from tests.loops.flow import NO_ANSWER

pytestmark = pytest.mark.django_db

ADDRESS = "https://console.example.com"
ROW = '{"email": "ada@example.com"}'


@pytest.fixture(autouse=True)
def _reachable(settings: Any) -> None:
    settings.MOBIUS_PUBLIC_URL = ADDRESS


@pytest.fixture
def address(integration: Integration) -> str:
    return f"/projects/platform/govern/integrations/{integration.pk}/"


def send(admin: Client, address: str) -> str:
    """Test there and back; the address of the page that shows what came of it."""
    answer = admin.post(f"{address}test/there-and-back/", {"row": ROW})
    assert answer.status_code == 302
    return str(answer.headers["Location"])


def call_back(clay: ClaySimulator, body: dict[str, Any], client: Client | None = None) -> Any:
    """As the table's last column does: to the address that the last row brought along."""
    url = clay.rows[-1].body["callback_url"]
    assert url.startswith(f"{ADDRESS}/v1/callbacks/")
    return (client or Client()).post(url.removeprefix(ADDRESS), body, content_type="application/json")


def words(response: Any) -> str:
    return " ".join(response.content.decode().split())


# --- the way there ---


def test_the_row_takes_along_its_id_and_an_address_which_nothing_that_is_stored_or_shown_holds(
    admin: Client, address: str, clay: ClaySimulator
) -> None:
    page = admin.get(send(admin, address))

    row = clay.rows[0].body
    test = Attempt.objects.get()
    assert row["email"] == "ada@example.com"
    assert row["request_id"] == test.pk
    token = row["callback_url"].rpartition("/")[2]
    assert len(token) == 43
    assert token not in test.body
    assert "${{ callback.url }}" in test.body
    assert token not in words(page)
    assert token not in words(admin.get(f"/projects/platform/operate/deliveries/{test.pk}/"))


def test_before_it_is_sent_the_page_says_what_it_costs(admin: Client, address: str) -> None:
    shown = words(admin.get(address))

    assert "uses one of the webhook&#x27;s 50,000 submissions for life" in shown
    assert "Test there and back" in shown
    assert "costs one Clay action" in shown
    assert "MOBIUS_PUBLIC_URL" not in shown


def test_that_clay_cannot_reach_the_console_is_said_before_a_row_is_spent(
    admin: Client, address: str, settings: Any
) -> None:
    settings.MOBIUS_PUBLIC_URL = "http://127.0.0.1:8000"

    assert "Clay cannot reach http://127.0.0.1:8000" in words(admin.get(address))


def test_an_ordinary_test_says_that_it_did_not_ask_for_an_answer(
    admin: Client, address: str, integration: Integration
) -> None:
    test = probe(integration).attempt

    assert "Not asked for" in words(admin.get(f"{address}?test={test.pk}"))
    assert admin.get(f"{address}tests/{test.pk}/").status_code == 404


def test_bad_rows_are_refused_and_nothing_is_sent(admin: Client, address: str, clay: ClaySimulator) -> None:
    answer = admin.post(f"{address}test/there-and-back/", {"row": "[1]"})

    assert answer.status_code == 422
    assert "Write one JSON object in braces" in words(answer)
    assert clay.rows == []


def test_without_an_address_of_our_own_nothing_is_sent(
    admin: Client, address: str, clay: ClaySimulator, settings: Any
) -> None:
    settings.MOBIUS_PUBLIC_URL = ""

    answer = admin.post(f"{address}test/there-and-back/", {"row": ROW})

    assert answer.status_code == 422
    assert "Set MOBIUS_PUBLIC_URL" in words(answer)
    assert clay.rows == []


def test_viewers_may_look_but_not_send(client: Client, vera: User, admin: Client, address: str) -> None:
    shown = send(admin, address)
    client.force_login(vera)

    assert client.get(shown).status_code == 200
    assert client.post(f"{address}test/there-and-back/", {"row": ROW}).status_code == 403


def test_a_row_that_was_refused_is_not_waited_for(admin: Client, address: str, clay: ClaySimulator) -> None:
    clay.next_answers(Behaviour(fail=401))

    page = words(admin.get(send(admin, address)))

    assert "There is no row, so nothing can come back." in page
    assert "hx-get" not in page


# --- the way back ---


def test_the_page_waits_for_the_callback_and_shows_it(admin: Client, address: str, clay: ClaySimulator) -> None:
    at = send(admin, address)
    page = words(admin.get(at))
    assert "Waiting for Clay to call back" in page
    assert "every 3s" in page

    answer = call_back(clay, {"request_id": clay.rows[0].body["request_id"], "company": "Example Ltd"})

    assert answer.status_code == 200
    callback = Callback.objects.get()
    assert answer.json()["callback"]["id"] == callback.pk
    assert callback.state == CallbackState.USED
    page = words(admin.get(at))
    assert "Clay has called back" in page
    assert "Example Ltd" in page
    assert "hx-get" not in page


def test_the_live_part_says_so_once_and_then_asks_no_more(admin: Client, address: str, clay: ClaySimulator) -> None:
    at = send(admin, address)
    page = admin.get(at)
    live = page.context["live"] + "".join(f"&seen={part.seen}" for part in page.context["way_back"].values())
    assert admin.get(live).status_code == 204

    call_back(clay, {"company": "Example Ltd"})

    answer = admin.get(live)
    assert answer.status_code == STOP_POLLING
    assert "Clay has called back." in words(answer)
    assert admin.get(f"{at}live/?since=1").status_code == STOP_POLLING  # opened long ago


def test_the_callback_is_found_on_its_own_page_and_on_that_of_the_row(
    admin: Client, address: str, clay: ClaySimulator
) -> None:
    send(admin, address)
    call_back(clay, {"company": "Example Ltd"})
    test, callback = Attempt.objects.get(), Callback.objects.get()

    delivery = f"/projects/platform/operate/deliveries/{test.pk}/"
    page = words(admin.get(f"/projects/platform/operate/callbacks/{callback.pk}/"))
    assert "It answers the row of a test there and back." in page
    assert delivery in page
    assert callback.pk in words(admin.get(delivery))
    for page in ("/projects/platform/operate/callbacks/", f"{address}callbacks/"):
        shown = words(admin.get(page))
        assert ">a test</a>" in shown
        assert callback.pk in shown


def test_a_test_s_delivery_leads_to_what_the_test_found(admin: Client, address: str, integration: Integration) -> None:
    plain = probe(integration).attempt
    there_and_back = send(admin, address)
    latest = Attempt.objects.latest("pk")

    for test, found in ((plain, f"{address}?test={plain.pk}"), (latest, there_and_back)):
        page = admin.get(f"/projects/platform/operate/deliveries/{test.pk}/")
        assert page.context["result_url"] == found
        assert "Clay accepted the test row" in words(admin.get(found))


def test_placeholders_that_came_instead_of_values_are_named(admin: Client, address: str, clay: ClaySimulator) -> None:
    at = send(admin, address)

    call_back(clay, {"request_id": "{{request_id}}", "company": "Example Ltd"})

    assert "the column&#x27;s name came instead of its value" in words(admin.get(at)).replace("'", "&#x27;")


def test_the_same_answer_again_is_a_duplicate_and_another_one_is_kept_beside_it(
    admin: Client, address: str, clay: ClaySimulator
) -> None:
    at = send(admin, address)
    call_back(clay, {"score": 1})

    assert call_back(clay, {"score": 1}).json()["duplicate"] is True
    assert call_back(clay, {"score": 2}).json()["callback"]["state"] == CallbackState.UPDATE

    assert "&quot;score&quot;: 1" in words(admin.get(at))


def test_the_project_s_door_takes_it_by_its_request_id(
    admin: Client, address: str, clay: ClaySimulator, api: Api, stranger_api: Api
) -> None:
    at = send(admin, address)
    body = {"request_id": clay.rows[0].body["request_id"], "company": "Example Ltd"}

    assert stranger_api.post(f"{stranger_api.root}/callbacks/clay", body).status_code == 404
    assert api.post(f"{api.root}/callbacks/clay", body).status_code == 200

    assert "Clay has called back" in words(admin.get(at))


def test_an_ordinary_test_cannot_be_answered_by_its_id(api: Api, integration: Integration) -> None:
    test = probe(integration).attempt

    assert api.post(f"{api.root}/callbacks/clay", {"request_id": test.pk}).status_code == 404


def test_a_callback_proves_that_a_row_in_doubt_arrived(admin: Client, address: str, clay: ClaySimulator) -> None:
    clay.next_answers(NO_ANSWER)
    at = send(admin, address)
    assert Attempt.objects.get().state == AttemptState.IN_DOUBT

    token = give_address_of_test(Attempt.objects.get().pk).rpartition("/")[2]
    assert Client().post(f"/v1/callbacks/{token}", {"a": 1}, content_type="application/json").status_code == 200

    assert Attempt.objects.get().state == AttemptState.ACCEPTED
    assert "Clay accepted the test row" in words(admin.get(at))


def test_an_address_that_we_never_gave_out_is_unknown(admin: Client, address: str, clay: ClaySimulator) -> None:
    send(admin, address)
    token = clay.rows[0].body["callback_url"].rpartition("/")[2]

    for forged in (token[:-1] + ("a" if token[-1] != "a" else "b"), token[:20], token + "a", "é" * 43):
        answer = Client().post(f"/v1/callbacks/{forged}", {"a": 1}, content_type="application/json")
        assert answer.status_code == 404
    assert not Callback.objects.exists()


def test_an_address_is_good_under_an_older_key(
    admin: Client, address: str, clay: ClaySimulator, settings: Any, project: Project
) -> None:
    send(admin, address)
    settings.FIELD_ENCRYPTION_KEY = ["another-key-that-was-put-first", *django_settings.FIELD_ENCRYPTION_KEY]

    assert call_back(clay, {"score": 1}).status_code == 200


def test_strangers_find_no_test(client: Client, charlie: User, admin: Client, address: str) -> None:
    at = send(admin, address)
    client.force_login(charlie)
    assert client.get(at).status_code == 404
    assert client.get(f"{at}live/").status_code == 404
