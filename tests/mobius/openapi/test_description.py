"""The description of `/v1`: whole, valid, closed, and true. That answers fit it is held against every answer that any
test gets (`tests/described.py`); here is what the document itself must be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django import forms
from django.contrib.auth.models import User
from django.test import Client
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

from integrations.api.openapi import read_by
from integrations.forms import BudgetForm
from integrations.providers.webhook_form import WebhookConnectForm
from mobius.api.operations import Operation
from mobius.api.shapes import example_of
from mobius.openapi.operations import OPERATIONS
from mobius.projects.roles import Role
from tests.cast import Api
from tests.described import JsonObject, description, problems_of, resolved
from tests.mobius.openapi.conftest import Places, places_for
from tests.mobius.test_every_route import ALL

SAID = list(OPERATIONS.values())


def operations() -> Iterator[tuple[str, str, JsonObject]]:
    for path, methods in description()["paths"].items():
        for method, said in methods.items():
            yield path, method, said


def test_it_is_valid_openapi_3_1_and_made_without_a_warning() -> None:
    made = SchemaGenerator().get_schema(request=None, public=True)

    validate_schema(made)
    assert made["openapi"].startswith("3.1")
    assert not GENERATOR_STATS


def test_every_method_of_every_address_is_described_and_no_other() -> None:
    described = {f"{method.upper()} {path}" for path, method, _ in operations()}

    assert described == {re.sub(r"<(\w+)>", r"{\1}", str(route)) for route in ALL}


def test_what_an_operation_is_called_is_told_once() -> None:
    ids = [said["operationId"] for _, _, said in operations()]

    assert len(ids) == len(set(ids)) == len(SAID)
    assert {"startRun", "getRun", "createLoop", "invokeAction", "listActionInvocations", "connectIntegration"} <= set(
        ids
    )


def test_every_operation_says_who_may_call_it() -> None:
    for _, _, said in operations():
        assert ("Needs no key." in said["description"]) != bool(said["security"])
        assert said["summary"]
        assert said["tags"]


def test_what_we_show_has_no_members_but_those_described() -> None:
    """An object is closed, or says that its members are somebody else's."""
    for name, schema in description()["components"]["schemas"].items():
        for one in objects_in(schema):
            assert "additionalProperties" in one, name


def objects_in(schema: Any) -> Iterator[JsonObject]:
    if isinstance(schema, list):
        for one in schema:
            yield from objects_in(one)
    elif isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for name, one in schema.items():
            if name not in ("examples", "example", "default"):
                yield from objects_in(one)


def test_every_example_fits_what_it_is_an_example_of() -> None:
    seen = 0
    for _, _, said in operations():
        parts = [resolved(response) for response in said["responses"].values()]
        for part in [*parts, *([said["requestBody"]] if "requestBody" in said else [])]:
            for content in part.get("content", {}).values():
                for example in content["examples"].values():
                    seen += 1
                    assert problems_of(content["schema"], example["value"]) == [], said["operationId"]
    assert seen > len(SAID)


@pytest.mark.parametrize("said", SAID, ids=[one.id for one in SAID])
def test_a_request_made_like_the_example_succeeds(api: Api, places: Places, said: Operation) -> None:
    """And so do all that have no body. `Api` holds the answer against the description."""
    path, method = next((path, method) for path, method, one in operations() if one["operationId"] == said.id)
    where = re.sub(r"{(\w+)}", lambda name: places_for(said.id, places)[name[1]], path)
    body = said.body.example if said.body else None
    if isinstance(body, dict) and "timeout_seconds" in body:
        body = body | {"timeout_seconds": 1}  # the test's own transaction hides from the sender what it waits for
    answer = getattr(api, method)(where) if body is None else getattr(api, method)(where, body)

    assert answer.status_code in said.answers, getattr(answer, "content", b"")


@pytest.mark.parametrize("path", ["/v1/openapi.yaml", "/v1/openapi.json"])
def test_it_is_there_for_a_key_and_for_whoever_is_signed_in_and_for_nobody_else(
    client: Client, api: Api, vera: User, path: str
) -> None:
    assert client.get(path).status_code == 401

    assert b"Every row reaches Clay once" in api.get(path).content
    client.force_login(vera)
    assert client.get(path).content == api.get(path).content


def test_a_key_that_may_not_read_does_not_read_it(api_as: Any) -> None:
    assert api_as(Role.CALLBACK).get("/v1/openapi.yaml").status_code == 403


def test_what_only_one_provider_needs_is_not_demanded_of_the_others() -> None:
    class RegionalForm(WebhookConnectForm):
        region = forms.CharField()

    taken = read_by([WebhookConnectForm, RegionalForm], BudgetForm)

    assert taken["required"] == ["webhook_url"]
    assert "region" in taken["properties"]


def test_tags_are_described_where_they_are_taken_as_where_they_are_shown() -> None:
    schemas = description()["components"]["schemas"]

    assert schemas["NewProjectRequest"]["properties"]["tags"] == schemas["Project"]["properties"]["tags"]


def test_an_example_leaves_out_what_is_rarely_there() -> None:
    from loops.api.shapes import RUN

    assert "error_message" not in example_of(RUN)
    assert example_of(RUN)["event"] == {"email": "ada@example.com"}
