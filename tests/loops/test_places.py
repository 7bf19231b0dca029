"""A place that an error names, found again in the text that somebody typed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from loops.console.places import mark_mistake, mark_place
from loops.expressions.tokens import place_text

TYPED = """{
  "name": "a",
  "steps": [
    {"kind": "nap", "config": {}},
    {
      "id": "push", "First Name": [true, "x"]
    }
  ]
}"""


@pytest.mark.parametrize(
    ("place", "where", "word"),
    [
        ("", "line 1, column 1", "{"),
        ("name", "line 2, column 3", '"name"'),
        ("colour", "line 1, column 1", "{"),
        ("steps[0].kind", "line 4, column 6", '"kind"'),
        ("steps[0].config.parameters", "line 4, column 21", '"config"'),
        ("steps[1]", "line 5, column 5", "{"),
        ('steps[1]["First Name"][1]', "line 6, column 42", '"x"'),
        ("steps[9].id", "line 3, column 3", '"steps"'),
    ],
)
def test_a_place_is_marked_at_its_key_and_one_that_is_missing_at_what_should_hold_it(
    place: str, where: str, word: str
) -> None:
    mark = mark_place(TYPED, place)

    assert (str(mark), mark.word) == (where, word)


def test_the_line_is_shown_around_the_word_and_cut_when_it_is_long() -> None:
    mark = mark_place('{"a": "' + "x" * 500 + '", "b": 1, "c": "' + "y" * 500 + '"}', "b")

    assert mark.word == '"b"'
    assert mark.before.startswith("…x")
    assert mark.after.endswith("y…")
    assert len(mark.before) + len(mark.after) < 130


def test_a_text_that_is_no_json_is_marked_where_the_parser_stopped() -> None:
    mark = mark_mistake('{\n  "a" 1\n}', "The text is not valid JSON: Expecting ':' delimiter at line 2, column 7.")

    assert mark is not None
    assert (mark.line, mark.column, mark.before, mark.word) == (2, 7, '"a" ', "1")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)


@given(JSON, st.sampled_from([None, 2]))
def test_every_place_of_any_json_is_found_on_the_line_on_which_it_was_written(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    for place, key in places_in(value, ""):
        mark = mark_place(text, place)
        line = text.split("\n")[mark.line - 1]
        assert line[mark.column - 1 :].startswith(json.dumps(key) if isinstance(key, str) else mark.word)


def places_in(value: Any, here: str) -> list[tuple[str, Any]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = []
    for key, inner in members:
        place = place_text(here, key)
        found += [(place, key), *places_in(inner, place)]
    return found


@pytest.mark.django_db
def test_the_page_says_the_line_and_quotes_it(admin: Client, project: Any) -> None:
    typed = TYPED.replace("\n", "\r\n")  # as browsers send it

    page = admin.post("/projects/platform/build/loops/new/", {"spec": typed}).content.decode()

    assert "steps[0].kind: There is no kind `nap`; known: action" in page
    assert "(line 4, column 6)" in page
    assert "{<mark>&quot;kind&quot;</mark>: &quot;nap&quot;, &quot;config&quot;: {}}," in page


@pytest.mark.django_db
def test_the_page_quotes_the_line_that_is_no_json(admin: Client, project: Any) -> None:
    page = admin.post("/projects/platform/build/loops/new/", {"spec": '{\r\n  "name" "a"\r\n}'}).content.decode()

    assert "at line 2, column 10" in page
    assert "&quot;name&quot; <mark>&quot;a&quot;</mark>" in page
