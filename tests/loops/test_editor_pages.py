"""The pages on which people edit a loop: every button works without JavaScript, and nothing that was typed is lost."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from integrations.models import Integration
from loops.advance import advance
from loops.authoring import create_loop, update_loop
from loops.models import Loop, Run
from mobius.commands.demo import LOOP as ENRICH_LEAD
from mobius.projects.models import Project
from tests.cast import PUSH_LEADS

pytestmark = pytest.mark.django_db

EMAIL = "steps[0].config.parameters.payload.email"


class Sent(HTMLParser):
    """What a browser would send of the form `editor`, without a button."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self._textarea = self._select = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        its: dict[str, str] = {name: value or "" for name, value in attrs}
        if tag == "select":
            self._select = its["name"]
        elif tag == "option" and ("selected" in its or self._select not in self.fields):
            self.fields[self._select] = its["value"]
        elif tag == "textarea":
            self._textarea, self.fields[its["name"]] = its["name"], ""
        elif tag == "input" and (its["type"] != "checkbox" or "checked" in its):
            self.fields[its["name"]] = its.get("value", "on")

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self.fields[self._textarea] = self.fields[self._textarea].removeprefix("\r").removeprefix("\n")
            self._textarea = ""

    def handle_data(self, data: str) -> None:
        if self._textarea:
            self.fields[self._textarea] += data


def text(response: Any) -> str:
    return str(response.content.decode())


def page_of(loop: Loop) -> str:
    return f"/projects/platform/build/loops/{loop.pk}/edit/"


def name_of(response: Any, place: str) -> str:
    """How the form calls the text of this place."""
    return str(next(entry.name for entry in response.context["layout"].entries if entry.place == place))


def press(client: Client, loop: Loop, shown: Any, button: str, **typed: str) -> Any:
    """Send what `shown` shows, with what was typed over it, by this button."""
    return client.post(page_of(loop), Sent(text(shown)).fields | typed | {"do": button}, follow=True)


# --- saving ----------------------------------------------------------------------------------------------------------


def test_a_payload_value_that_is_typed_is_saved_as_a_new_version_and_its_page_shows_it(
    admin: Client, push_leads: Loop
) -> None:
    shown = admin.get(page_of(push_leads))

    saved = press(admin, push_leads, shown, "save", **{name_of(shown, EMAIL): "${{ event.mail }}"})

    assert saved.redirect_chain == [(f"{page_of(push_leads).removesuffix('edit/')}versions/2/", 302)]
    assert "Runs that start from now on use the new version." in text(saved)
    assert [line.text.strip() for line in saved.context["differences"].lines if line.change == "added"] == [
        '"email": "${{ event.mail }}"'
    ]


@pytest.mark.parametrize("authored", [PUSH_LEADS, ENRICH_LEAD], ids=["push", "enrich"])
def test_what_the_page_sends_back_untouched_is_no_new_version(
    admin: Client, project: Project, authored: dict[str, Any]
) -> None:
    odd = {"\n <b>&quot;": 'x\n\n"<script>', "list": [1, {"a": None}], "\u202e": "\u202e", "many": "\n\n" + "y" * 200}
    loop = create_loop(project=project, authored=authored | {"output": odd, "description": "\nA\r\n</textarea>B"})
    payload = json.loads(json.dumps(authored["steps"]))
    payload[0]["config"]["parameters"]["payload"] |= odd
    update_loop(loop, {"steps": payload})

    answer = press(admin, loop, admin.get(page_of(loop)), "save")

    assert "Nothing was changed" in text(answer)
    assert loop.versions.count() == 2


def test_an_error_stands_at_its_field_and_what_was_typed_is_kept(admin: Client, push_leads: Loop) -> None:
    shown = admin.get(page_of(push_leads))
    email, tries = name_of(shown, EMAIL), name_of(shown, "steps[0].retry.max_attempts")

    bad = press(admin, push_leads, shown, "save", **{email: "${{ steps.nobody.output }}", tries: "99"})

    assert bad.status_code == 422
    told = {entry.place: entry.errors for entry in bad.context["layout"].entries if entry.errors}
    assert "There is no step steps.nobody" in told[EMAIL][0]
    assert told["steps[0].retry.max_attempts"] == ["This must be from 1 to 10."]
    assert f'<a href="#{email}">Value of email</a>' in text(bad)
    assert Sent(text(bad)).fields[email] == "${{ steps.nobody.output }}"
    assert push_leads.versions.count() == 1

    mended = press(admin, push_leads, bad, "save", **{email: "a", tries: "3"})
    assert "Saved." in text(mended)


def test_what_cannot_be_read_at_all_is_told_too_and_nothing_is_done(admin: Client, push_leads: Loop) -> None:
    shown = admin.get(page_of(push_leads))
    tries = name_of(shown, "steps[0].retry.max_attempts")

    for button in ("save", "add-step", "json"):
        bad = press(admin, push_leads, shown, button, **{tries: "many"})
        assert bad.status_code == 422
        assert "Write a whole number." in text(bad)
        assert Sent(text(bad)).fields[tries] == "many"


def test_nobody_writes_over_what_somebody_else_has_saved_and_nothing_typed_is_lost(
    admin: Client, push_leads: Loop
) -> None:
    shown = admin.get(page_of(push_leads))
    update_loop(push_leads, {"description": "Theirs"})

    refused = press(admin, push_leads, shown, "save", **{name_of(shown, EMAIL): "mine"})

    assert refused.status_code == 422
    assert "Somebody saved version 2 while you were editing." in text(refused)
    assert "See what version 2 changed" in text(refused)
    assert Sent(text(refused)).fields[name_of(refused, EMAIL)] == "mine"
    assert push_leads.versions.count() == 2


# --- the other buttons -----------------------------------------------------------------------------------------------


def test_steps_and_rows_are_added_moved_and_removed_and_nothing_is_saved_until_somebody_saves(
    admin: Client, push_leads: Loop
) -> None:
    shown = admin.get(page_of(push_leads))
    payload = next(shown.context["layout"].groups).name
    shown = press(admin, push_leads, shown, f"add-row {payload}", **{name_of(shown, EMAIL): "typed"})
    new = name_of(shown, 'steps[0].config.parameters.payload["column-2"]')
    shown = press(admin, push_leads, shown, "add-step", kind="sleep", **{f"{new}-key": "City", new: "Paris"})
    assert 'id="step-2"' in text(shown)
    shown = press(admin, push_leads, shown, "move-up 2")
    shown = press(admin, push_leads, shown, "remove-row " + name_of(shown, EMAIL.replace("[0]", "[1]")))
    assert push_leads.versions.count() == 1

    press(admin, push_leads, shown, "save")

    push_leads.refresh_from_db()
    assert push_leads.current_version is not None
    steps = push_leads.current_version.spec["steps"]
    assert steps[0] == {"id": "step-2", "kind": "sleep", "config": {"duration": "1m"}}
    assert steps[1]["config"]["parameters"]["payload"] == {"City": "Paris"}
    gone = press(admin, push_leads, admin.get(page_of(push_leads)), "remove-step 1")
    assert [card.title for card in gone.context["layout"].cards] == ["push"]


def test_the_integrations_of_the_project_are_offered(admin: Client, push_leads: Loop, integration: Integration) -> None:
    shown = admin.get(page_of(push_leads))
    name = name_of(shown, "steps[0].config.parameters.integration")

    press(admin, push_leads, shown, "save", **{name: "clay"})

    push_leads.refresh_from_db()
    assert push_leads.current_version is not None
    assert push_leads.current_version.spec["steps"][0]["config"]["parameters"]["integration"] == "clay"
    assert '<option value="clay" selected>' in text(admin.get(page_of(push_leads)))


def test_the_form_and_the_json_are_two_sides_of_the_same(admin: Client, push_leads: Loop) -> None:
    shown = admin.get(page_of(push_leads))
    as_json = press(admin, push_leads, shown, "json", **{name_of(shown, EMAIL): "typed"})
    typed = as_json.context["form"].initial
    assert json.loads(typed["spec"])["steps"][0]["config"]["parameters"]["payload"] == {"email": "typed"}
    assert typed["version"] == 1

    back = admin.post(page_of(push_leads), typed | {"do": "form"})
    assert Sent(text(back)).fields[name_of(back, EMAIL)] == "typed"

    wrong = admin.post(page_of(push_leads), {"do": "form", "spec": "{\n'a'", "version": "1"})
    assert wrong.status_code == 422
    assert "<mark>" in text(wrong)
    unfit = admin.post(page_of(push_leads), {"do": "form", "spec": '{"steps": [1]}', "version": "1"})
    assert "whose steps are a list of objects" in text(unfit)


@pytest.mark.parametrize("draft", ["", "{", "[]", '{"a": "\\ud800"}'])
def test_a_form_that_did_not_arrive_whole_does_nothing(admin: Client, push_leads: Loop, draft: str) -> None:
    answer = admin.post(page_of(push_leads), {"do": "save", "draft": draft}, follow=True)

    assert "The form did not arrive whole, so nothing was done" in text(answer)
    assert push_leads.versions.count() == 1


def test_a_loop_that_is_too_large_for_the_form_is_edited_as_json(admin: Client, project: Project) -> None:
    loop = create_loop(project=project, authored=PUSH_LEADS | {"output": {"note": "x" * 90_000}})

    answer = admin.get(page_of(loop), follow=True)

    assert "too large or too unusual for the form" in text(answer)
    assert len(answer.context["form"].initial["spec"]) > 90_000


# --- the preview -----------------------------------------------------------------------------------------------------


def previews(response: Any) -> dict[str, str]:
    return {entry.place: entry.preview.text for entry in response.context["layout"].entries if entry.preview}


def test_a_preview_shows_what_each_expression_gives_with_the_last_run_and_saves_nothing(
    admin: Client, project: Project, integration: Integration, clay: Any
) -> None:
    check = {"id": "fit", "kind": "check", "config": {"checks": [{"name": "a", "expr": "steps.push.output.ok"}]}}
    loop = create_loop(project=project, authored=PUSH_LEADS | {"steps": [*PUSH_LEADS["steps"], check]})
    admin.post(page_of(loop).removesuffix("edit/") + "start/", {"event": '{"email": "grace@example.com"}'})
    run = Run.objects.get()
    advance(run.pk)
    shown = admin.get(page_of(loop))
    name = name_of(shown, "steps[0].name")

    answer = press(admin, loop, shown, "preview", **{name_of(shown, EMAIL): "Dear ${{ event.email }}!", name: "typed"})

    assert previews(answer)[EMAIL] == "Dear grace@example.com!"
    assert previews(answer)["steps[0].config.parameters.request_id"] == run.pk
    assert previews(answer)["steps[1].config.checks[0].expr"] == "yes (true)"
    assert Sent(text(answer)).fields[name] == "typed"
    assert loop.versions.count() == 1


def test_a_preview_without_a_run_takes_an_example_and_says_what_is_known_later(admin: Client, project: Project) -> None:
    loop = create_loop(project=project, authored=ENRICH_LEAD)
    shown = admin.get(page_of(loop))
    place = EMAIL.replace("email", "source")

    answer = press(admin, loop, shown, "preview", **{name_of(shown, place): "${{ event.emial }}"})

    assert "ada@example.com" in previews(answer)[EMAIL]
    assert "event.emial does not exist; did you mean event.email?" in previews(answer)[place]
    assert "Does not work:" in text(answer)
    assert previews(answer)["steps[0].config.parameters.callback_url"] == "an address of its own for each row"
    other = press(admin, loop, shown, "preview", event='{"email": "<b>"}')
    assert previews(other)[EMAIL] == "<b>"
    assert "<bdi>&lt;b&gt;</bdi>" in text(other)


def test_a_bad_event_is_told_and_kept(admin: Client, push_leads: Loop) -> None:
    answer = press(admin, push_leads, admin.get(page_of(push_leads)), "preview", event="{nonsense")

    assert answer.status_code == 422
    assert "The text is not valid JSON" in text(answer)
    assert Sent(text(answer)).fields["event"] == "{nonsense"


def test_a_live_preview_answers_with_nothing_but_the_previews(admin: Client, push_leads: Loop) -> None:
    shown = admin.get(page_of(push_leads))
    fields = Sent(text(shown)).fields | {name_of(shown, EMAIL): "${{ event.email }}?"}

    answer = admin.post(page_of(push_leads), fields, headers={"HX-Request": "true"})

    assert f'id="{name_of(shown, EMAIL)}-preview" hx-swap-oob="innerHTML"' in text(answer)
    assert "ada@example.com?" in text(answer)
    assert "<html" not in text(answer)


# --- who may ---------------------------------------------------------------------------------------------------------


def test_only_an_admin_edits_and_others_read(
    client: Client, bob: User, vera: User, charlie: User, push_leads: Loop
) -> None:
    for user, status in ((bob, 403), (vera, 403), (charlie, 404)):
        client.force_login(user)
        for address in (page_of(push_leads), page_of(push_leads) + "json/"):
            assert client.get(address).status_code == status
            draft = json.dumps(PUSH_LEADS | {"description": "mine"})
            answer = client.post(address, {"do": "save", "draft": draft, "spec": draft, "version": "1"})
            assert answer.status_code == status
    assert push_leads.versions.count() == 1
