"""The pages of loops: written, paused, deleted and started by people in a browser."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from loops.advance import advance
from loops.authoring import create_loop, delete_loop, update_loop
from loops.console.examples import STARTER_LOOP
from loops.models import Loop, LoopStatus, Run
from mobius.projects.models import Project
from tests.cast import PUSH_LEADS

pytestmark = pytest.mark.django_db

LOOPS = "/projects/platform/build/loops/"
EVIL = "<script>alert(1)</script>\u202e\u200f"


def text(response: Any) -> str:
    return str(response.content.decode())


def page_of(loop: Loop) -> str:
    return f"{LOOPS}{loop.pk}/"


# --- who gets in -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "new/", "{loop}/", "{loop}/edit/", "{loop}/edit/json/", "{loop}/delete/"])
def test_strangers_find_nothing_and_the_anonymous_are_asked_to_sign_in(
    client: Client, charlie: User, push_leads: Loop, path: str
) -> None:
    address = LOOPS + path.format(loop=push_leads.pk)
    assert client.get(address).headers["Location"] == f"/login/?next={address}"

    client.force_login(charlie)

    assert client.get(address).status_code == 404


@pytest.mark.parametrize("path", ["start/", "edit/", "edit/json/", "status/", "delete/"])
def test_a_viewer_changes_nothing(client: Client, vera: User, push_leads: Loop, path: str) -> None:
    client.force_login(vera)

    response = client.post(page_of(push_leads) + path, {"status": "paused", "event": "{}", "spec": "{}"})

    assert response.status_code == 403
    assert Loop.objects.get().status == LoopStatus.ACTIVE
    assert not Run.objects.exists()


def test_an_operator_starts_but_does_not_write(client: Client, bob: User, push_leads: Loop) -> None:
    client.force_login(bob)

    page = text(client.get(page_of(push_leads)))

    assert "edit/" not in page
    assert f'action="{page_of(push_leads)}start/"' in page
    assert client.get(LOOPS + "new/").status_code == 403


def test_a_viewer_sees_the_loop_and_is_told_why_there_is_no_button(
    client: Client, vera: User, push_leads: Loop
) -> None:
    client.force_login(vera)

    page = text(client.get(page_of(push_leads)))

    assert "Your role sees runs but does not start them" in page
    assert "clay.webhook.submit" in page
    assert "start/" not in page


def test_a_loop_of_another_project_is_not_found(admin: Client, other_project: Project) -> None:
    theirs = create_loop(project=other_project, authored=PUSH_LEADS)

    assert admin.get(page_of(theirs)).status_code == 404
    assert admin.post(page_of(theirs) + "start/", {"event": "{}"}).status_code == 404


# --- the list --------------------------------------------------------------------------------------------------------


def test_the_list_shows_name_status_version_and_last_run(admin: Client, push_leads: Loop) -> None:
    update_loop(push_leads, {"description": "Another"})
    admin.post(page_of(push_leads) + "start/", {"event": "{}"})

    page = text(admin.get(LOOPS))

    assert f'href="{page_of(push_leads)}"><bdi>push-leads</bdi>' in page
    assert "Active" in page
    assert 'data-label="Version" class="num">2</td>' in page
    assert f'href="/projects/platform/operate/runs/?loop={push_leads.pk}"' in page


def test_the_list_pages_by_key_and_shows_no_deleted_loop(
    admin: Client, project: Project, django_assert_max_num_queries: Any
) -> None:
    for number in range(55):
        create_loop(project=project, authored=PUSH_LEADS | {"name": f"loop-{number:02}"})
    delete_loop(Loop.objects.get(name="loop-54"))

    with django_assert_max_num_queries(6):
        first = admin.get(LOOPS)
    second = admin.get(LOOPS, {"cursor": first.context["page"].next_cursor})

    names = [loop.name for page in (first, second) for loop in page.context["page"].items]
    assert names == [f"loop-{number:02}" for number in reversed(range(54))]


def test_an_empty_list_says_what_to_do_next(admin: Client, project: Project) -> None:
    assert "Write a loop" in text(admin.get(LOOPS))
    assert "No loop fits" in text(admin.get(LOOPS, {"status": "paused"}))


def test_a_cursor_that_we_did_not_make_is_a_bad_request(admin: Client) -> None:
    assert admin.get(LOOPS, {"cursor": "nonsense"}).status_code == 400


# --- writing ---------------------------------------------------------------------------------------------------------


def test_the_loop_that_is_offered_works_as_it_is(admin: Client, project: Project, integration: Any, clay: Any) -> None:
    offered = admin.get(LOOPS + "new/").context["form"].initial["spec"]

    assert json.loads(offered) == STARTER_LOOP
    response = admin.post(LOOPS + "new/", {"spec": offered})
    loop = Loop.objects.get()
    assert response.headers["Location"] == page_of(loop)
    event = admin.get(page_of(loop)).context["start"].initial["event"]
    admin.post(page_of(loop) + "start/", {"event": event})
    advance(Run.objects.get().pk)
    assert [row.body["email"] for row in clay.rows] == ["ada@example.com"]


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("", "This field is required."),
        ("{", "The text is not valid JSON"),
        ("[]", "Write a JSON object, in braces, not an array."),
        ('{"name": "a", "name": "b"}', "The key &quot;name&quot; stands twice in one object."),
        ('{"steps": []}', "name: This field is required."),
        ('{"name": "a", "steps": [{"kind": "nap", "config": {}}]}', "steps[0].kind: There is no kind `nap`"),
        ('{"name": "a", "colour": "red"}', "colour: There is no field `colour`"),
    ],
)
def test_a_mistake_is_told_at_its_place_and_what_was_typed_is_kept(admin: Client, typed: str, sentence: str) -> None:
    response = admin.post(LOOPS + "new/", {"spec": typed})

    assert response.status_code == 422
    assert sentence in text(response)
    assert response.context["form"]["spec"].value() == typed
    assert not Loop.objects.exists()


def test_a_name_that_is_taken_is_told(admin: Client, push_leads: Loop) -> None:
    response = admin.post(LOOPS + "new/", {"spec": json.dumps(PUSH_LEADS)})

    assert "There is a loop named “push-leads” already" in text(response)


def test_saving_makes_a_version_and_a_field_that_was_removed_is_gone(admin: Client, project: Project) -> None:
    loop = create_loop(project=project, authored=PUSH_LEADS | {"description": "Old"})

    admin.post(page_of(loop) + "edit/json/", {"spec": json.dumps(PUSH_LEADS | {"name": "pull"}), "version": "1"})

    loop.refresh_from_db()
    assert loop.name == "pull"
    assert loop.current_version is not None
    assert loop.current_version.number == 2
    assert loop.current_version.spec == PUSH_LEADS | {"name": "pull"}
    assert "Old" in text(admin.get(page_of(loop) + "versions/1/"))
    assert "Old" not in text(admin.get(page_of(loop)))


def test_saving_without_a_change_makes_no_version(admin: Client, push_leads: Loop) -> None:
    response = admin.post(page_of(push_leads) + "edit/json/", {"spec": json.dumps(PUSH_LEADS)}, follow=True)

    assert "Nothing was changed" in text(response)
    assert push_leads.versions.count() == 1


def test_nobody_writes_over_what_somebody_else_has_saved(admin: Client, push_leads: Loop) -> None:
    update_loop(push_leads, {"description": "Theirs"})

    response = admin.post(page_of(push_leads) + "edit/json/", {"spec": json.dumps(PUSH_LEADS), "version": "1"})

    assert response.status_code == 422
    assert "Somebody saved version 2 while you were editing" in text(response)
    assert push_leads.versions.count() == 2


def test_a_bad_edit_changes_nothing(admin: Client, push_leads: Loop) -> None:
    response = admin.post(page_of(push_leads) + "edit/json/", {"spec": '{"name": ""}'})

    assert response.status_code == 422
    assert "name: This must not be empty." in text(response)
    assert "<bdi>push-leads</bdi>" in text(response)


def test_a_paused_loop_says_so_and_can_be_made_active_again(admin: Client, push_leads: Loop) -> None:
    paused = admin.post(page_of(push_leads) + "status/", {"status": "paused"}, follow=True)

    assert "This loop is paused" in text(paused)
    assert f'action="{page_of(push_leads)}start/"' not in text(paused)
    refused = admin.post(page_of(push_leads) + "start/", {"event": "{}"})
    assert refused.status_code == 422
    assert "Nothing was started: The loop is paused" in text(refused)
    admin.post(page_of(push_leads) + "status/", {"status": "active"})
    assert Loop.objects.get().status == LoopStatus.ACTIVE
    assert "Write active or paused." in text(admin.post(page_of(push_leads) + "status/", {"status": "x"}, follow=True))


def test_deleting_asks_first_and_keeps_the_runs_readable(admin: Client, push_leads: Loop) -> None:
    run = Run.objects.get(pk=admin.post(page_of(push_leads) + "start/", {"event": "{}"}).headers["Location"][-25:-1])

    asked = text(admin.get(page_of(push_leads) + "delete/"))
    assert "Some of its runs are active now" in asked
    assert Loop.objects.get().status == LoopStatus.ACTIVE
    admin.post(page_of(push_leads) + "delete/")

    assert Loop.objects.get().status == LoopStatus.DELETED
    assert admin.get(page_of(push_leads)).status_code == 404
    assert "(deleted)" in text(admin.get(f"/projects/platform/operate/runs/{run.pk}/"))


# --- starting --------------------------------------------------------------------------------------------------------


def test_a_run_started_by_a_person_says_who_it_was(admin: Client, push_leads: Loop) -> None:
    typed = {"event": '{"email": "ada@example.com"}', "idempotency_key": " row-1 "}

    response = admin.post(page_of(push_leads) + "start/", typed)

    run = Run.objects.get()
    assert response.headers["Location"] == f"/projects/platform/operate/runs/{run.pk}/"
    assert run.event == {"email": "ada@example.com"}
    assert run.source == {"type": "manual", "id": "alice", "label": "alice"}
    assert run.idempotency_key == "row-1"


def test_the_same_key_leads_to_the_active_run_and_is_refused_once_it_has_ended(admin: Client, push_leads: Loop) -> None:
    typed = {"event": "{}", "idempotency_key": "row-1"}
    first = admin.post(page_of(push_leads) + "start/", typed)

    again = admin.post(page_of(push_leads) + "start/", typed, follow=True)
    assert again.redirect_chain[0][0] == first.headers["Location"]
    assert "nothing was started" in text(again)

    advance(Run.objects.get().pk)  # it fails: nothing is connected
    refused = admin.post(page_of(push_leads) + "start/", typed)
    assert refused.status_code == 422
    assert "use another key" in text(refused)


def test_a_bad_event_is_told_and_kept(admin: Client, project: Project) -> None:
    loop = create_loop(project=project, authored=PUSH_LEADS | {"event": {"email": {"required": True}}})

    for typed, sentence in (
        ("{'a'}", "The text is not valid JSON"),
        ('{"emial": 1}', "event.email: This loop needs it."),
        ('{"email": NaN}', "NaN is not JSON"),
    ):
        response = admin.post(page_of(loop) + "start/", {"event": typed, "idempotency_key": "k"})
        assert response.status_code == 422
        assert sentence in text(response)
        assert response.context["start"]["event"].value() == typed
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("more", "event"),
    [
        ({"event": {"email": {}, "score": {"type": "number"}, "lang": {"default": "en"}}}, None),
        ({}, {"email": "grace@example.com"}),
        ({}, {}),
    ],
)
def test_the_event_is_offered_from_what_is_known(
    admin: Client, project: Project, more: dict[str, Any], event: dict[str, Any] | None
) -> None:
    loop = create_loop(project=project, authored=PUSH_LEADS | more)
    if event:
        admin.post(page_of(loop) + "start/", {"event": json.dumps(event)})

    offered = json.loads(admin.get(page_of(loop)).context["start"].initial["event"])

    declared = {"email": "ada@example.com", "score": 1, "lang": "en"}
    assert offered == (declared if more else event or {"email": "ada@example.com"})


@pytest.mark.parametrize("event", [{"email": "grace@example.com"}, {}])
def test_the_event_of_a_run_is_offered_as_it_was(admin: Client, push_leads: Loop, event: dict[str, Any]) -> None:
    admin.post(page_of(push_leads) + "start/", {"event": json.dumps(event)})
    run = Run.objects.get()
    admin.post(page_of(push_leads) + "start/", {"event": '{"email": "newer@example.com"}'})

    page = admin.get(page_of(push_leads), {"run": run.pk})

    assert json.loads(page.context["start"].initial["event"]) == event


def test_the_curl_is_whole(admin: Client, push_leads: Loop) -> None:
    curl = admin.get(page_of(push_leads)).context["curl"]

    assert f"http://console.test/v1/projects/platform/loops/{push_leads.pk}/runs" in curl
    assert "Bearer $MOBIUS_API_KEY" in curl
    assert """-d '{"event": {"email": "ada@example.com"}}'""" in curl


# --- hostile names ---------------------------------------------------------------------------------------------------


def test_a_hostile_name_leaves_every_page_whole(admin: Client, project: Project) -> None:
    loop = create_loop(
        project=project, authored=PUSH_LEADS | {"name": EVIL.replace("/", ""), "description": EVIL * 300}
    )

    for address in (LOOPS, page_of(loop), page_of(loop) + "delete/", "/projects/platform/operate/runs/"):
        page = text(admin.get(address))
        assert "<script>alert" not in page
        assert "</html>" in page
    assert "\\u202e" in text(admin.get(page_of(loop)))


def test_a_very_long_loop_is_cut_to_look_at_but_whole_to_edit(admin: Client, project: Project) -> None:
    loop = create_loop(project=project, authored=PUSH_LEADS | {"tags": {}, "output": {"note": "x" * 100_000}})

    assert "This is the beginning; all of it has 100," in text(admin.get(page_of(loop)))
    edited = admin.get(page_of(loop) + "edit/", follow=True)  # too large for the form
    assert len(edited.context["form"].initial["spec"]) > 100_000


def test_more_than_we_take_is_refused(admin: Client) -> None:
    response = admin.post(LOOPS + "new/", {"spec": json.dumps({"name": "x" * 300_000})})

    assert response.status_code == 413
