"""The recipe, followed to the letter: what Clay's HTTP API column does with it starts a run, and answers it.

The column reads the page, fills its chips from a row as Clay does, and sends over a real socket.
"""

from __future__ import annotations

import http.client
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client

from integrations.models import Integration
from integrations.providers.clay.simulator import ClaySimulator
from integrations.providers.recipes import Block, Column, Recipe
from loops.arriving import Found, arrivals
from loops.models import Callback, Loop, Run
from mobius.projects.models import Project
from tests.cast import work_off
from tests.loops.flow import asking, loop_of, push, waiting

pytestmark = pytest.mark.django_db(transaction=True)

JsonObject = dict[str, Any]
EVENT = {"email": {"type": "string", "required": True}, "score": {"type": "number"}, "domain": {"default": "none.test"}}
ROW: JsonObject = {
    "Email": 'ada "the" countess@example.com',
    "Score": 7,
    "Domain": "",
    "Clay Row ID": "r_1",
    "Request ID": "",
}
MAPPING = {"event_type": "clay.callback", "payload_mapping": {"fit": "event.fit_score"}}


@dataclass(frozen=True)
class HttpApiColumn:
    """Clay's column, set up by a recipe and a header account."""

    recipe: Recipe
    headers: dict[str, str]

    def run(self, row: JsonObject) -> tuple[int, JsonObject]:
        """Run it for one row; the status and the answer."""
        address = urlsplit(self.filled(self.recipe.block("Endpoint"), row))
        body = json.loads(self.filled(self.recipe.block("Body"), row))
        assert self.recipe.block("Remove empty values").copied == "On"
        headers = self.headers | {"Content-Type": "application/json"}
        connection = http.client.HTTPConnection(address.netloc, timeout=10)
        connection.request(
            self.recipe.block("Method").copied, address.path, json.dumps(without_empty_values(body)), headers
        )
        answer = connection.getresponse()
        status, found = answer.status, json.loads(answer.read())
        connection.close()
        return status, found

    def filled(self, block: Block, row: JsonObject) -> str:
        return "".join(piece if isinstance(piece, str) else self.chip(piece, row) for piece in block.pieces)

    def chip(self, column: Column, row: JsonObject) -> str:
        value = row[column.name]
        text = json.dumps(value)
        return text[1:-1] if isinstance(value, str) and column.quoted else text


def without_empty_values(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: without_empty_values(inner) for name, inner in value.items() if inner not in ("", None)}


@pytest.fixture
def admin(client: Client, alice: User, live_server: Any, settings: Any) -> Client:
    settings.MOBIUS_PUBLIC_URL = live_server.url
    client.force_login(alice)
    return client


def page_of(loop: Loop) -> str:
    return f"/projects/platform/build/loops/{loop.pk}/recipe/"


def column(admin: Client, recipe: Recipe, loop: Loop, role: str) -> HttpApiColumn:
    """The column as somebody sets it up who follows the recipe, with the key that its page makes."""
    if recipe.account is None:
        return HttpApiColumn(recipe, {})
    page = admin.post(f"{page_of(loop)}key/", {"role": role}).content.decode()
    value = re.search(r'data-copy="(Bearer mbx_[\w-]{49})"', page)
    assert value is not None
    return HttpApiColumn(recipe, {recipe.account.name: value[1]})


def recipe_of(admin: Client, loop: Loop) -> Any:
    return admin.get(page_of(loop)).context["recipe"]


def test_a_row_starts_a_run_and_its_last_column_completes_it_at_its_own_address(
    admin: Client, project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    loop = loop_of(project, asking(), waiting(config=MAPPING), event=EVENT)
    recipe = recipe_of(admin, loop)
    starts = column(admin, recipe.start.recipe, loop, "run")

    status, started = starts.run(ROW)
    work_off()

    assert status == 202
    run = Run.objects.get(pk=started["id"])
    assert run.event == {"email": ROW["Email"], "score": 7, "clay_row_id": "r_1"}  # the empty domain was left out
    assert (run.idempotency_key, run.source["id"]) == (f"clay:{loop.pk}:r_1", "clay")
    assert starts.run(ROW)[1]["id"] == run.pk
    assert starts.run(ROW | {"Clay Row ID": "r_2"})[1]["id"] != run.pk

    answers = column(admin, recipe.callbacks[0].at_address, loop, "callback")
    assert answers.headers == {}
    sent = next(one.body for one in clay.rows if one.body["request_id"] == run.pk)
    assert answers.run({**sent, "Fit Score": 9})[0] == 200
    work_off()

    run.refresh_from_db()
    assert run.status == "completed"
    assert run.result["answer"] == {"fit": "9"}


def test_a_row_without_an_address_is_answered_at_the_project_s_door_with_the_narrow_key(
    admin: Client, project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    loop = loop_of(project, push(), waiting(config=MAPPING))
    recipe = recipe_of(admin, loop)
    assert recipe.callbacks[0].at_address is None
    column(admin, recipe.start.recipe, loop, "run").run(ROW)
    work_off()

    answers = column(admin, recipe.callbacks[0].main, loop, "callback")
    assert answers.run({**clay.rows[0].body, "Fit Score": "high"})[0] == 200
    work_off()

    assert Run.objects.get().result["answer"] == {"fit": "high"}
    assert admin.get(page_of(loop)).context["live"] == ""


def test_a_loop_that_demands_a_key_at_the_address_gets_it_by_the_recipe(
    admin: Client, project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    loop = loop_of(project, asking(), waiting(config=MAPPING), settings={"callback_requires_key": True})
    recipe = recipe_of(admin, loop).callbacks[0].at_address
    column(admin, recipe_of(admin, loop).start.recipe, loop, "run").run(ROW)
    work_off()

    row = {**clay.rows[0].body, "Fit Score": 9}
    assert HttpApiColumn(recipe, {}).run(row)[0] == 401
    assert column(admin, recipe, loop, "callback").run(row)[0] == 200
    work_off()

    assert Callback.objects.get().state == "used"


def test_the_body_pasted_as_it_was_copied_collapses_no_rows_and_is_found_out(
    admin: Client, project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    loop = loop_of(project, asking(), waiting(config=MAPPING))
    starts = column(admin, recipe_of(admin, loop).start.recipe, loop, "run")
    body = json.loads(starts.recipe.block("Body").copied)
    pasted = HttpApiColumn(with_body(starts.recipe, json.dumps(body)), starts.headers)
    half_pasted = HttpApiColumn(
        with_body(starts.recipe, json.dumps(body | {"event": {"email": "ada@example.com"}})), starts.headers
    )

    assert pasted.run({})[0] == 202
    assert half_pasted.run({})[0] == 400  # the same key for another event

    assert Run.objects.count() == 1
    checks = arrivals_of(admin, loop).call.checks
    unfilled = [check.name for check in checks if check.found == Found.UNFILLED]
    assert unfilled == ["email", "request_id", "clay_row_id", "idempotency_key"]


def arrivals_of(admin: Client, loop: Loop) -> Any:
    recipe = recipe_of(admin, loop)
    return arrivals(loop, recipe.start, recipe.callbacks, recipe.keys)


def with_body(recipe: Recipe, text: str) -> Recipe:
    blocks = [Block(label=block.label, pieces=(text,)) if block.label == "Body" else block for block in recipe.blocks]
    return Recipe(clicks=recipe.clicks, account=recipe.account, blocks=tuple(blocks))
