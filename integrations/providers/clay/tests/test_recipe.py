"""Clay's HTTP API column as a recipe."""

from __future__ import annotations

import json
from typing import Any

import pytest

from integrations.providers.clay.recipe import RECIPES, column_named, write
from integrations.providers.recipes import Call, Column, Recipe

EMAIL = Column(name="Email")


def recipe(**changes: Any) -> Recipe:
    wanted = {
        "url": "https://console.example.com/v1/x",
        "body": {"email": EMAIL},
        "needs_key": True,
        "per_second": None,
    }
    return write(Call(**wanted | changes))


@pytest.mark.parametrize(
    ("field", "column"),
    [
        ("email", "Email"),
        ("company_domain", "Company Domain"),
        ("companyDomain", "Company Domain"),
        ("clay_row_id", "Clay Row ID"),
        ("linkedin_url", "Linkedin URL"),
        ("First Name", "First Name"),
        ("größe_2", "Größe 2"),
        ("!", "!"),
        ("", ""),
    ],
)
def test_a_field_is_looked_for_in_the_column_that_is_probably_called_like_it(field: str, column: str) -> None:
    assert column_named(field) == column


def test_the_column_that_tells_rows_apart_is_the_one_of_its_field() -> None:
    assert column_named(RECIPES.row_field) == RECIPES.row_column


def test_the_fields_come_in_the_order_of_the_column_s_form() -> None:
    assert [block.label for block in recipe().blocks] == [
        "Method",
        "Endpoint",
        "Body",
        "Remove empty values",
        "Custom rate limit",
        "Number of retries",
        "Status codes to retry",
        "Response timeout",
    ]


def test_a_header_account_is_asked_for_only_where_a_key_is_needed() -> None:
    assert recipe().account is not None
    assert recipe(needs_key=False).account is None


def test_an_address_that_each_row_brings_is_picked_and_not_copied() -> None:
    endpoint = recipe(url=Column(name="callback_url")).block("Endpoint")

    assert endpoint.copied == ""
    assert [column.name for column in endpoint.columns] == ["callback_url"]


@pytest.mark.parametrize(("taken", "asked"), [(None, 100), (1000, 100), (20, 20), (0, 1)])
def test_clay_is_asked_for_no_more_than_we_take_and_never_for_less_than_it_can(taken: int | None, asked: int) -> None:
    assert recipe(per_second=taken).block("Custom rate limit").copied == f"{asked} requests per 1000 ms"


def test_the_body_is_json_with_its_columns_in_it_and_a_copy_says_what_belongs_where() -> None:
    body = {
        "event": {"score": Column(name="Score", quoted=False), 'e"mail': EMAIL, "nothing": {}},
        "key": Column(name="Row", prefix='a "key":'),
        "n": 1,
    }

    block = recipe(body=body).block("Body")

    assert [column.name for column in block.columns] == ["Score", "Email", "Row"]
    assert json.loads(block.copied.replace("{{Score}}", "7")) == {
        "event": {"score": 7, 'e"mail': "{{Email}}", "nothing": {}},
        "key": 'a "key":{{Row}}',
        "n": 1,
    }
    assert block.pieces[-1] == '",\n  "n": 1\n}'


def test_a_recipe_without_a_body_has_none() -> None:
    assert recipe(body={}).block("Body").copied == "{}"
