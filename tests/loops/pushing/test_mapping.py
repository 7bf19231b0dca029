"""Columns become keys of the row, its ids, or nothing."""

from __future__ import annotations

import pytest

from loops.pushing.mapping import Mapping, read_mapping
from mobius.errors import InvalidFields

COLUMNS = ["request_id", "Email", "Notes"]


def test_usually_every_column_is_sent_under_its_own_name_and_the_ids_are_found() -> None:
    usual = Mapping.usual([*COLUMNS, "push_line", "push_error"])

    assert usual.keys == {"request_id": "request_id", "Email": "Email", "Notes": "Notes"}
    assert (usual.request_id, usual.external_id) == ("request_id", "")


def test_a_column_can_be_renamed_and_another_left_out() -> None:
    mapping = read_mapping(COLUMNS, {"Email": "email", "Notes": None}, request_id="request_id", external_id="Email")

    assert mapping.event(["r1", "a@b.c", "secret"], COLUMNS) == {
        "row": {"email": "a@b.c", "request_id": "r1"},
        "request_id": "r1",
        "external_id": "a@b.c",
    }


def test_values_of_json_keep_their_types_and_only_text_and_whole_numbers_identify() -> None:
    mapping = Mapping.usual(["request_id", "n", "deep"])

    event = mapping.event({"request_id": 7, "n": 1.5, "deep": {"b": [1], "a": None}}, [])
    assert event["row"] == {"n": 1.5, "deep": {"a": None, "b": [1]}, "request_id": 7}
    assert event["request_id"] == "7"
    assert mapping.event({"request_id": True}, [])["request_id"] == ""


def test_the_same_row_is_the_same_whatever_the_order_of_its_columns() -> None:
    one, other = Mapping.usual(["a", "bb", "c"]), Mapping.usual(["c", "bb", "a"])

    assert list(one.event(["1", "2", "3"], ["a", "bb", "c"])["row"]) == ["a", "c", "bb"]
    assert str(one.event(["1", "2", "3"], ["a", "bb", "c"])) == str(other.event(["3", "2", "1"], ["c", "bb", "a"]))


@pytest.mark.parametrize(
    ("keys", "ids", "place"),
    [
        ({"Emial": "email"}, {}, "keys.Emial"),
        ({"Email": "same", "Notes": "same"}, {}, "keys.Email"),
        ({"Email": "x" * 201}, {}, "keys.Email"),
        (dict.fromkeys(COLUMNS, ""), {}, "keys"),
        ({}, {"request_id": "Nobody"}, "request_id"),
        ({}, {"request_id": "Email"}, "request_id"),
        ({"Email": "external_id"}, {"external_id": "Notes"}, "external_id"),
    ],
)
def test_a_mapping_that_loses_or_confuses_something_is_refused_at_its_place(
    keys: dict[str, str | None], ids: dict[str, str], place: str
) -> None:
    with pytest.raises(InvalidFields) as refused:
        read_mapping(COLUMNS, keys, **{"request_id": "", "external_id": ""} | ids)
    assert place in refused.value.fields
