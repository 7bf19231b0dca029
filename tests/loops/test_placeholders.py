"""What Clay sends when a value was not inserted."""

import pytest

from loops.placeholders import key_is_unfilled, unfilled


@pytest.mark.parametrize(
    "value",
    ["{{Email}}", "Dear {{First Name}},", "{{}}", "/Email", "/Company Domain", "[object Object]", "a [object Object]"],
)
def test_placeholders_are_found(value):
    assert unfilled({"field": value}) == ["field"]


@pytest.mark.parametrize(
    "value",
    ["ada@example.com", "", "/", "/pricing", "/Blog/Post", "https://x.com/About", "{Email}", "{{", "}} {{", 7, None],
)
def test_usual_values_are_not(value):
    assert unfilled({"field": value}) == []


def test_paths_lead_to_the_value():
    event = {
        "company": {"domain": "/Domain"},
        "people": [{"name": "Ada"}, {"name": "{{Name}}"}],
        "Row ID": "{{Row ID}}",
    }

    assert unfilled(event) == ["company.domain", "people[1].name", '["Row ID"]']


def test_no_more_paths_than_help_are_reported():
    assert len(unfilled({f"k{index}": "{{x}}" for index in range(1000)})) == 50


@pytest.mark.parametrize(
    "key",
    [
        "clay:{{Clay Row ID}}",
        "{{Clay Row ID}}",
        "clay:",
        "clay: ",
        "clay:/Clay Row ID",
        "clay:/row id",
        "/Row ID",
        "clay:[object Object]",
        "clay:null",
        "clay:undefined",
        "null",
    ],
)
def test_keys_that_every_row_would_share_are_found(key):
    assert key_is_unfilled(key)


@pytest.mark.parametrize(
    "key", ["", "clay:rec_123", "req_123", "YWJjZA==", "a/b/c", "clay:annull", "lead-", "2026-11-24"]
)
def test_usual_keys_are_not(key):
    assert not key_is_unfilled(key)
