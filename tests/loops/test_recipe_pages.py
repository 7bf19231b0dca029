"""The recipe of a loop: what it says to set in Clay, the key made on the spot, and what it says has arrived."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from integrations.models import Integration
from integrations.providers.recipes import Block
from loops.authoring import create_loop
from loops.console import recipes
from loops.models import Callback, Loop, Run
from mobius import clock
from mobius.commands.demo import LOOP as ENRICH_LEAD
from mobius.projects.key_models import ApiKey, PrincipalState, ServicePrincipal
from mobius.projects.keys import create_key, recognise, revoke
from mobius.projects.models import AuditEvent, Project
from mobius.projects.principals import default_principal
from mobius.projects.roles import Role
from tests.cast import Api, work_off
from tests.loops.flow import asking, loop_of, push, waiting

pytestmark = pytest.mark.django_db

ADDRESS = "https://console.example.com"


@pytest.fixture(autouse=True)
def _reachable(settings: Any) -> None:
    settings.MOBIUS_PUBLIC_URL = ADDRESS


@pytest.fixture
def enrich_lead(project: Project) -> Loop:
    return create_loop(project=project, authored=ENRICH_LEAD)


def page_of(loop: Loop, path: str = "") -> str:
    return f"/projects/platform/build/loops/{loop.pk}/recipe/{path}"


def text(response: Any) -> str:
    return str(response.content.decode())


def start_of(client: Client, loop: Loop) -> Callable[[str], Block]:
    """The blocks of the recipe that starts runs, by their labels."""
    response = client.get(page_of(loop))
    assert response.status_code == 200
    block: Callable[[str], Block] = response.context["recipe"].start.recipe.block
    return block


# --- what it says ----------------------------------------------------------------------------------------------------


def test_the_recipe_names_every_field_of_the_column_in_its_order(admin: Client, enrich_lead: Loop) -> None:
    response = admin.get(page_of(enrich_lead))

    recipe = response.context["recipe"].start.recipe
    assert {block.label: block.copied for block in recipe.blocks if not block.is_code} == {
        "Method": "POST",
        "Endpoint": f"{ADDRESS}/v1/projects/platform/loops/{enrich_lead.pk}/runs",
        "Remove empty values": "On",
        "Custom rate limit": "100 requests per 1000 ms",
        "Number of retries": "5",
        "Status codes to retry": "408, 429, 500, 501, 502, 503, 504",
        "Response timeout": "30000",
    }
    assert (recipe.account.name, recipe.account.prefix) == ("Authorization", "Bearer ")
    page = text(response)
    for block in recipe.blocks:
        assert page.count(f'aria-label="Copy {block.label.lower()}"') >= 1, block.label


def test_the_body_maps_what_the_loop_reads_and_a_key_of_the_row(admin: Client, enrich_lead: Loop) -> None:
    body = start_of(admin, enrich_lead)("Body")

    assert json.loads(body.copied) == {
        "event": {
            "email": "{{Email}}",
            "company_domain": "{{Company Domain}}",
            "clay_row_id": "{{Clay Row ID}}",
        },
        "source": {"type": "api", "id": "clay", "label": "Clay"},
        "idempotency_key": f"clay:{enrich_lead.pk}:{{{{Clay Row ID}}}}",
    }


def test_a_chip_is_a_box_that_says_how_it_is_picked(admin: Client, enrich_lead: Loop) -> None:
    page = text(admin.get(page_of(enrich_lead)))

    assert '<span class="chip">type / and pick <strong><bdi>Company Domain</bdi></strong></span>' in page
    assert "Text that looks like a column, typed or pasted, may go out as it is" in page


def test_fields_that_only_expressions_name_are_found_wherever_they_stand(admin: Client, project: Project) -> None:
    both = "${{ event.company.domain }} ${{ event.tags[0] }}"
    row = {"payload": {"a": both, "b": '${{ event["First Name"] ?? "" }}'}}
    checks = [{"name": "ok", "kind": "expr", "expr": "event.score > 3"}]
    check = {"id": "ok", "kind": "check", "config": {"checks": checks}}
    loop = loop_of(
        project,
        push(row=row, **{"if": "event.wanted"}),
        check,
        waiting(config={"match": {"lead": "${{ event.lead }}"}, "payload_mapping": {"x": "event.not_of_the_start"}}),
        event={"score": {"type": "number"}},
        run_name={"template": "${{ event.label }}"},
        output={"of": "${{ event.team }}"},
    )

    body = start_of(admin, loop)("Body")

    assert '"score": {{Score}},' in body.copied  # a number stands without quotation marks
    event = json.loads(body.copied.replace("{{Score}}", "7"))["event"]
    assert event == {
        "score": 7,
        "wanted": "{{Wanted}}",
        "company": {"domain": "{{Company Domain}}"},
        "tags": "{{Tags}}",
        "First Name": "{{First Name}}",
        "lead": "{{Lead}}",
        "label": "{{Label}}",
        "team": "{{Team}}",
        "clay_row_id": "{{Clay Row ID}}",
    }


def test_a_row_that_brings_its_address_is_answered_there_without_a_key(admin: Client, enrich_lead: Loop) -> None:
    response = admin.get(page_of(enrich_lead))

    answer = response.context["recipe"].callbacks[0]
    assert [column.name for column in answer.at_address.block("Endpoint").columns] == ["callback_url"]
    assert answer.at_address.account is None
    assert answer.by_request_id.block("Endpoint").copied == f"{ADDRESS}/v1/projects/platform/callbacks/clay"
    assert json.loads(answer.at_address.block("Body").copied) == {"request_id": "{{request_id}}"}
    assert "The loop names no field that it reads of the answer" in text(response)


def test_the_callback_s_body_has_what_the_wait_maps_and_matches(admin: Client, project: Project) -> None:
    config = {"match": {"status": "done"}, "payload_mapping": {"score": "event.fit_score", "name": "event.person.name"}}
    loop = loop_of(project, asking(), waiting(config=config), settings={"callback_requires_key": True})

    response = admin.get(page_of(loop))

    answer = response.context["recipe"].callbacks[0]
    assert json.loads(answer.main.block("Body").copied) == {
        "request_id": "{{request_id}}",
        "status": "{{Status}}",
        "fit_score": "{{Fit Score}}",
        "person": {"name": "{{Person Name}}"},
    }
    assert answer.at_address.account is not None
    assert "The run goes on only when <code><bdi>status</bdi></code> is <code><bdi>done</bdi></code>" in text(response)


def test_without_a_mapping_the_callback_s_fields_are_those_that_later_steps_read(
    admin: Client, project: Project
) -> None:
    loop = loop_of(project, asking(), waiting(), output={"score": "${{ steps.answer.output.score }}"})

    answer = admin.get(page_of(loop)).context["recipe"].callbacks[0]

    assert list(json.loads(answer.main.block("Body").copied)) == ["request_id", "score"]


def test_a_row_that_takes_nothing_along_can_not_be_answered_and_a_loop_that_waits_for_nothing_needs_not(
    admin: Client, project: Project, push_leads: Loop
) -> None:
    mute = loop_of(project, push(row={"payload": {"email": "x"}}), waiting())

    assert "Nothing can come back" in text(admin.get(page_of(mute)))
    assert "This loop waits for no callback" in text(admin.get(page_of(push_leads)))


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("", "does not know its own address"),
        ("http://127.0.0.1:8000", "exists only on this machine"),
        ("https://localhost", "exists only on this machine"),
        ("https://10.1.2.3", "exists only on this machine"),
        ("https://mobius", "exists only on this machine"),
        ("http://console.example.com", "is not https"),
    ],
)
def test_an_address_that_clay_can_not_reach_is_told_with_what_to_set(
    admin: Client, enrich_lead: Loop, settings: Any, address: str, sentence: str
) -> None:
    settings.MOBIUS_PUBLIC_URL = address

    page = text(admin.get(page_of(enrich_lead)))

    assert sentence in page
    assert "Set MOBIUS_PUBLIC_URL to the https address under which Clay reaches this console" in page


def test_an_address_that_clay_can_reach_is_left_alone_and_our_throttle_is_told(
    admin: Client, enrich_lead: Loop, settings: Any
) -> None:
    settings.MOBIUS_KEY_REQUESTS_PER_MINUTE = 1200

    page = text(admin.get(page_of(enrich_lead)))

    assert "These addresses do not work yet" not in page
    assert "20 requests per 1000 ms" in page
    assert "We take 20 a second of one key, and answer 429 to what is above." in page


def test_the_loop_s_page_and_the_integration_s_page_lead_to_it(
    admin: Client, enrich_lead: Loop, integration: Integration
) -> None:
    assert f'href="{page_of(enrich_lead)}?provider=clay"' in text(admin.get(page_of(enrich_lead)[: -len("recipe/")]))
    tab = f"/projects/platform/govern/integrations/{integration.pk}/recipe/"
    assert f'href="{tab}"' in text(admin.get(tab.removesuffix("recipe/")))
    assert f'href="{page_of(enrich_lead)}?provider=clay"' in text(admin.get(tab))


def test_only_providers_that_can_call_have_recipes_and_an_empty_list_says_what_to_do(
    admin: Client, bob: User, integration: Integration, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = f"/projects/platform/govern/integrations/{integration.pk}/recipe/"
    assert "Write a loop" in text(admin.get(page))

    admin.force_login(bob)
    assert "An admin of this project writes them" in text(admin.get(page))

    monkeypatch.setattr(recipes, "callers", list)
    assert admin.get(page).status_code == 404


# --- the key ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [Role.RUN, Role.CALLBACK])
def test_a_key_of_the_narrow_role_is_made_on_the_spot_and_shown_once_with_its_whole_header(
    admin: Client, project: Project, enrich_lead: Loop, role: Role
) -> None:
    response = admin.post(page_of(enrich_lead, "key/"), {"role": role.value})

    page = text(response)
    found = re.search(r'data-copy="Bearer (mbx_[\w-]{49})"', page)
    assert response.status_code == 201
    assert "no-store" in response.headers["Cache-Control"]
    assert found is not None, page
    key = recognise(found[1])
    assert (key.project, key.role, key.created_by) == (project, role, User.objects.get(username="alice"))
    assert AuditEvent.objects.get(action="api_key.create").object_id == key.pk
    again = text(admin.get(page_of(enrich_lead)))
    assert found[1] not in again
    assert key.name in again


def test_a_second_key_has_a_name_of_its_own(admin: Client, enrich_lead: Loop) -> None:
    for _ in range(2):
        assert admin.post(page_of(enrich_lead, "key/"), {"role": "run"}).status_code == 201

    assert set(ApiKey.objects.values_list("name", flat=True)) == {
        "Clay starts enrich-lead",
        "Clay starts enrich-lead (2)",
    }


@pytest.mark.parametrize("role", ["", "admin", "nonsense"])
def test_no_other_key_is_made_here(admin: Client, enrich_lead: Loop, role: str) -> None:
    response = admin.post(page_of(enrich_lead, "key/"), {"role": role})

    assert response.status_code == 422
    assert "No key was made" in text(response)
    assert not ApiKey.objects.exists()


def test_a_key_is_made_after_the_one_that_nobody_copied_was_revoked(admin: Client, enrich_lead: Loop) -> None:
    for _ in range(2):
        admin.post(page_of(enrich_lead, "key/"), {"role": "run"})
    revoke(ApiKey.objects.get(name="Clay starts enrich-lead"))

    made = [admin.post(page_of(enrich_lead, "key/"), {"role": "run"}).status_code for _ in range(2)]

    assert made == [201, 201]
    assert ApiKey.objects.filter(name="Clay starts enrich-lead (3)").exists()


def test_a_name_that_another_key_of_the_project_holds_is_passed_by(
    admin: Client, project: Project, enrich_lead: Loop
) -> None:
    create_key(project=project, name="Clay starts enrich-lead", role=Role.RUN)

    assert admin.post(page_of(enrich_lead, "key/"), {"role": "run"}).status_code == 201
    assert ApiKey.objects.filter(name="Clay starts enrich-lead (2)").exists()


def test_why_no_key_can_be_made_is_explained(admin: Client, project: Project, enrich_lead: Loop) -> None:
    ServicePrincipal.objects.filter(pk=default_principal(project).pk).update(state=PrincipalState.DISABLED)

    response = admin.post(page_of(enrich_lead, "key/"), {"role": "run"})

    assert response.status_code == 422
    assert "a key of it would open nothing" in text(response)


def test_whoever_makes_no_keys_is_told_who_does(client: Client, bob: User, enrich_lead: Loop) -> None:
    client.force_login(bob)

    assert "An admin of the project can make one here" in text(client.get(page_of(enrich_lead)))
    assert client.post(page_of(enrich_lead, "key/"), {"role": "run"}).status_code == 403
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("path", ["", "live/", "key/"])
def test_strangers_find_nothing(client: Client, charlie: User, enrich_lead: Loop, path: str) -> None:
    client.force_login(charlie)

    assert client.get(page_of(enrich_lead, path)).status_code == 404


# --- what arrived ----------------------------------------------------------------------------------------------------


@pytest.fixture
def clay_calls(api_as: Callable[[Role], Api], enrich_lead: Loop) -> Callable[..., Any]:
    """Clay's column runs for one row."""
    run_api = api_as(Role.RUN)

    def call(event: dict[str, Any], key: str = "", **fields: Any) -> Any:
        body = {"event": event, "source": {"type": "api", "id": "clay", "label": "Clay"}} | fields
        return run_api.post(f"{run_api.root}/loops/{enrich_lead.pk}/runs", body | {"idempotency_key": key or None})

    return call


def found_in(response: Any, name: str = "call") -> dict[str, str]:
    """How each field arrived, as the part of the page says."""
    part = response.context["part"][name].content
    fields = re.findall(r'<th scope="row"[^>]*><code><bdi>(.+?)</bdi>.*?</svg>([\w ]+)</span>', part, re.DOTALL)
    return dict(fields)


def test_before_the_first_call_the_page_waits_for_it(admin: Client, enrich_lead: Loop) -> None:
    page = text(admin.get(page_of(enrich_lead)))

    assert "Waiting for Clay's first call…" in page
    assert "Waiting for the first callback…" in page
    assert 'hx-trigger="every 3s"' in page


def test_a_call_by_the_recipe_is_found_well(admin: Client, enrich_lead: Loop, clay_calls: Callable[..., Any]) -> None:
    row = {"email": "ada@example.com", "company_domain": "example.com", "clay_row_id": "r_1"}
    clay_calls(row, f"clay:{enrich_lead.pk}:r_1")

    response = admin.get(page_of(enrich_lead))

    assert set(found_in(response).values()) == {"Arrived"}
    assert list(found_in(response)) == ["email", "company_domain", "clay_row_id", "idempotency_key"]
    assert "Needs a look" not in text(response)


def test_what_clay_did_not_fill_in_is_named(admin: Client, enrich_lead: Loop, clay_calls: Callable[..., Any]) -> None:
    clay_calls({"email": "{{Email}}", "company_domain": "", "colour": "red"}, f"clay:{enrich_lead.pk}:")

    response = admin.get(page_of(enrich_lead))

    assert found_in(response) == {
        "email": "Not filled in",
        "company_domain": "Empty",
        "clay_row_id": "Left out",
        "idempotency_key": "Not filled in",
    }
    page = text(response)
    assert "<bdi>{{Email}}</bdi>" in page
    assert "so all rows would be one and the same run" in page
    assert "<code><bdi>colour</bdi></code>, which the loop does not read" in page


def test_whatever_comes_the_page_can_be_drawn(admin: Client, enrich_lead: Loop, clay_calls: Callable[..., Any]) -> None:
    strange = {"x" * 500 + f"{number}<\u202e": None for number in range(100)}
    clay_calls({"email": {"long": ["x" * 90_000, 7] * 2}, "company_domain": [[[1]]], "clay_row_id": True} | strange)

    response = admin.get(page_of(enrich_lead))

    assert found_in(response)["email"] == "Arrived"
    assert len(response.content) < 100_000
    assert "\u202e" not in text(response)


def test_a_key_that_is_not_the_row_s_is_doubted_and_a_default_is_told(
    admin: Client, enrich_lead: Loop, clay_calls: Callable[..., Any]
) -> None:
    clay_calls({"email": "ada@example.com", "clay_row_id": "r_1"}, "the same for all", source={})

    response = admin.get(page_of(enrich_lead))

    assert found_in(response)["idempotency_key"] == "Unexpected"
    assert found_in(response)["company_domain"] == "Left out"
    assert "own default stands in for it" in text(response)
    assert "Its source does not say that it comes from Clay" in text(response)


def test_runs_that_people_start_are_no_calls_of_clay_s(admin: Client, enrich_lead: Loop) -> None:
    admin.post(f"/projects/platform/build/loops/{enrich_lead.pk}/start/", {"event": '{"email": "a@b.c"}'})

    assert Run.objects.exists()
    assert "first call…" in admin.get(page_of(enrich_lead)).context["part"]["call"].content


def call(admin: Client, loop: Loop, body: str) -> int:
    """The status of a start of `loop` with a key of its recipe."""
    made = re.search(r"mbx_[\w-]{49}", text(admin.post(page_of(loop, "key/"), {"role": "run"})))
    assert made is not None
    answer = Client().post(
        f"/v1/projects/platform/loops/{loop.pk}/runs",
        body,
        content_type="application/json",
        headers={"authorization": f"Bearer {made[0]}"},
    )
    return answer.status_code


def test_a_call_that_was_refused_is_shown_with_what_was_wrong(admin: Client, enrich_lead: Loop) -> None:
    assert call(admin, enrich_lead, '{"evnt": {}}') == 400

    page = text(admin.get(page_of(enrich_lead)))

    assert "evnt" in page.partition("Calls of this recipe that were refused")[2]
    assert "opened the door" not in page


def test_a_call_that_got_a_run_that_was_there_is_known_by_its_key(admin: Client, api: Api, enrich_lead: Loop) -> None:
    body = {"event": {"email": "a@b.c"}, "idempotency_key": "clay:1"}
    api.post(f"{api.root}/loops/{enrich_lead.pk}/runs", body)
    assert call(admin, enrich_lead, json.dumps(body)) == 202

    page = text(admin.get(page_of(enrich_lead)))

    assert "opened the door" in page
    assert "no run began after it" in page


def test_the_callback_is_checked_as_well(
    admin: Client, api: Api, project: Project, integration: Integration, clay: Any
) -> None:
    config = {"match": {"status": "done"}, "payload_mapping": {"score": "event.score"}}
    loop = loop_of(project, asking(), waiting(config=config))
    api.post(f"{api.root}/loops/{loop.pk}/runs", {"event": {"email": "a@b.c"}})
    work_off()
    api.post(f"{api.root}/callbacks/clay", {"request_id": Run.objects.get().pk, "score": "/Score", "status": "error"})
    work_off()

    response = admin.get(page_of(loop))

    assert found_in(response, "callback") == {"status": "Unexpected", "score": "Not filled in"}
    assert "did not satisfy what the waiting step asks for" in text(response)
    assert f"/operate/callbacks/{Callback.objects.get().pk}/" in text(response)


def test_a_callback_that_may_mean_several_rows_is_shown(
    admin: Client, api: Api, project: Project, integration: Integration, clay: Any
) -> None:
    row = {"payload": {"email": "${{ event.email }}"}, "request_id": "all alike"}
    loop = loop_of(project, push(row=row), waiting())
    for email in ("a@b.c", "d@e.f"):
        api.post(f"{api.root}/loops/{loop.pk}/runs", {"event": {"email": email}})
        work_off()
    assert api.post(f"{api.root}/callbacks/clay", {"request_id": "all alike"}).json()["ambiguous"]

    part = admin.get(page_of(loop)).context["part"]["callback"].content

    assert "Ambiguous" in part
    assert "nobody knows which one it answers" in part


# --- looking again and again -----------------------------------------------------------------------------------------


def live_of(client: Client, loop: Loop, *, since: Any = None, seen: list[str] | None = None) -> Any:
    opened = int(clock.now().timestamp()) if since is None else since
    return client.get(page_of(loop, "live/"), {"provider": "clay", "since": opened, "seen": seen or []})


def test_nothing_new_is_no_answer_and_news_come_as_parts(
    admin: Client, enrich_lead: Loop, clay_calls: Callable[..., Any]
) -> None:
    seen = [part.seen for part in admin.get(page_of(enrich_lead)).context["part"].values()]
    assert live_of(admin, enrich_lead, seen=seen).status_code == 204

    clay_calls({"email": "{{Email}}"})
    news = live_of(admin, enrich_lead, seen=seen)

    assert news.status_code == 200
    assert 'id="part-call"' in text(news)
    assert 'id="part-callback"' not in text(news)
    assert "Something has arrived" in text(news)


def test_it_looks_no_more_when_all_is_well(admin: Client, api: Api, push_leads: Loop) -> None:
    body = {"event": {"email": "a@b.c", "clay_row_id": "r_1"}, "idempotency_key": f"clay:{push_leads.pk}:r_1"}
    assert api.post(f"{api.root}/loops/{push_leads.pk}/runs", body).status_code == 202

    assert live_of(admin, push_leads).status_code == 286
    assert "hx-trigger" not in text(admin.get(page_of(push_leads)))


@pytest.mark.parametrize("since", ["", "soon", "1", "9" * 40, "-5"])
def test_it_looks_no_more_after_half_an_hour(admin: Client, enrich_lead: Loop, since: str) -> None:
    response = live_of(admin, enrich_lead, since=since)

    assert response.status_code == 286
    assert "Look again" in text(response)


def test_looking_costs_the_same_however_much_has_arrived(
    admin: Client, enrich_lead: Loop, clay_calls: Callable[..., Any], django_assert_max_num_queries: Any
) -> None:
    for number in range(12):
        clay_calls({"email": f"lead{number}@example.com"})

    with django_assert_max_num_queries(12):
        assert live_of(admin, enrich_lead).status_code == 200
