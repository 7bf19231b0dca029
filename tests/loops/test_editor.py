"""The form of a loop and its JSON: what was not typed is not changed, what was typed is written where it belongs."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.providers.registry import all_actions
from loops.console.editor.laying_out import lay_out
from loops.console.editor.layout import Entry, Group, Layout
from loops.console.editor.writing import add_row, add_step, move_step, remove_row, take, written
from loops.expressions import CALLBACK_PLACEHOLDER
from loops.spec import StepKind, parse_loop
from tests.cast import PUSH_LEADS

CONNECTED = {"clay": {"intg_1": "clay", "intg_2": "second"}}
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
SNIPPETS = TEXTS | st.sampled_from(
    ["", "a\nb", "a\r\nb", "a\rb", "\n", " x ", "${{ event.email }}", CALLBACK_PLACEHOLDER, "\u202ex", "x" * 200]
)
SIMPLE = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | SNIPPETS
ANY = st.recursive(
    SIMPLE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SNIPPETS, inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(SNIPPETS, ANY, max_size=4)


def maybe(**members: Any) -> Any:
    """An object with any of these members, and with what nobody knows."""
    return st.tuples(st.fixed_dictionaries({}, optional=members), OBJECT).map(lambda both: both[1] | both[0])


# Whatever can be posted as a draft: much of it no loop would be.
CONFIG = maybe(
    action_name=st.sampled_from(["clay.webhook.submit", "nobody.knows"]) | ANY,
    parameters=ANY | maybe(payload=ANY | OBJECT, request_id=ANY, callback_url=ANY, integration=ANY, external_id=ANY),
    duration=ANY,
    until=ANY,
    event_type=ANY,
    match=ANY | OBJECT,
    payload_mapping=OBJECT,
    checks=ANY | st.lists(maybe(name=ANY, expr=ANY), max_size=3),
    on_fail=ANY,
    loop_id=ANY,
    event=OBJECT,
)
STEP = maybe(
    id=ANY,
    name=ANY,
    kind=st.sampled_from(list(map(str, StepKind))) | ANY,
    config=CONFIG | ANY,
    retry=maybe(max_attempts=ANY, delay=ANY) | ANY,
    timeout=maybe(duration=ANY) | ANY,
)
DRAFT = maybe(name=ANY, description=ANY, steps=st.lists(STEP, max_size=3) | st.none())

# Loops that are valid.
TEMPLATE = st.sampled_from(["${{ event.email }}", "x ${{ meta.run_id }}\ny", CALLBACK_PLACEHOLDER, "", "plain"])
KEY = SNIPPETS.filter(lambda key: len(key) < 80)
PAYLOAD = st.dictionaries(KEY, TEMPLATE | st.integers() | st.lists(TEMPLATE))
ROWS = st.dictionaries(KEY, st.sampled_from(["${{ event.email }}", "plain", ""]) | st.integers())
CONFIGS: dict[str, Any] = {
    "action": st.fixed_dictionaries(
        {"action_name": st.just("clay.webhook.submit")},
        optional={
            "execution_location": st.just("managed"),
            "parameters": st.fixed_dictionaries(
                {"payload": PAYLOAD},
                optional={"request_id": TEMPLATE, "callback_url": TEMPLATE, "integration": st.just("third")},
            ),
        },
    ),
    "sleep": st.just({"duration": "1h30m"}) | st.just({"until": "2030-01-31T09:00:00Z", "duration": None}),
    "wait_for_event": st.fixed_dictionaries(
        {"event_type": st.just("clay.callback")},
        optional={"match": ROWS, "payload_mapping": st.just({"score": "event.score", "First Name": "event.n"})},
    ),
    "loop": st.fixed_dictionaries({"loop_id": st.just("other")}, optional={"event": ROWS | st.none()}),
    "check": st.just({"checks": [{"name": "a", "expr": "event.a > 1", "kind": "expr"}], "on_fail": "continue"})
    | st.just({"checks": [{"name": "a", "expr": "true"}, {"name": "b", "expr": "false"}]}),
}
VALID_STEP = st.sampled_from(sorted(CONFIGS)).flatmap(
    lambda kind: st.fixed_dictionaries(
        {"kind": st.just(kind), "config": CONFIGS[kind]},
        optional={
            "name": SNIPPETS,
            "if": st.just("event.email"),
            "retry": st.just({"max_attempts": 3, "delay": "2s"}) | st.just({"max_attempts": None}) | st.just({}),
            "timeout": st.just({"duration": "5m", "on_timeout": "fail"}),
        },
    )
)
VALID = st.fixed_dictionaries(
    {"name": st.just("a loop"), "steps": st.lists(VALID_STEP, max_size=3)},
    optional={"description": SNIPPETS, "tags": st.just({"team": "sales"}), "event": st.just({"email": {}})},
)


def posted(layout: Layout) -> dict[str, str]:
    """What a browser sends when nobody has typed anything."""
    sent = {}
    for entry in layout.entries:
        text = entry.value.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
        assert entry.is_long or entry.choices or "\n" not in text, "a single line would lose it"
        sent[entry.name] = text
        if entry.key is not None:
            sent[f"{entry.name}-key"] = entry.key.replace("\r", "").replace("\n", "")
        if entry.is_offered:
            sent[f"{entry.name}-offer"] = "on"
        if entry.type_value:
            sent[f"{entry.name}-type"] = entry.type_value.value
    return sent


def after(draft: dict[str, Any], typed: dict[str, str] | None = None, without: str = "") -> Any:
    """The draft once the form, in which `typed` was written at its places, has come back."""
    layout = lay_out(draft, CONNECTED)
    sent = posted(layout) | {entry.name: typed[entry.place] for entry in layout.entries if entry.place in (typed or {})}
    sent.pop(f"{at(layout, without).name}-offer" if without else "", None)
    take(layout, sent)
    new = written(draft, layout)
    assert not layout.has_errors, [(one.place, one.errors) for one in layout.entries if one.errors]
    return new


def at(layout: Layout, place: str) -> Entry:
    return next(entry for entry in layout.entries if entry.place == place)


def group_at(layout: Layout, place: str) -> Group:
    return next(group for group in layout.groups if group.place == place)


@given(DRAFT)
def test_the_form_of_any_draft_gives_back_the_very_same_draft(draft: Any) -> None:
    before = deepcopy(draft)

    assert repr(after(draft)) == repr(before)  # `repr`: to Python 1, 1.0 and true are the same


@given(VALID)
def test_the_form_of_any_valid_loop_gives_back_the_very_same_loop(authored: Any) -> None:
    parse_loop(authored, actions=all_actions().keys())

    assert repr(after(authored)) == repr(authored)


@given(VALID, st.data())
def test_one_text_that_is_typed_changes_that_place_alone(authored: Any, data: st.DataObject) -> None:
    entries = [one for one in lay_out(authored, CONNECTED).entries if one.holds in ("text", "template", "expression")]
    entry = data.draw(st.sampled_from(entries))

    new = after(authored, {entry.place: "typed"})

    assert at(lay_out(new, CONNECTED), entry.place).text == "typed"
    assert repr(after(new, {entry.place: entry.text})) == repr(authored) or entry.text == "" or "\r" in entry.text


PAYLOAD_AT = "steps[0].config.parameters.payload"
STEP_ONE = PUSH_LEADS["steps"][0]


def parameters(**more: Any) -> dict[str, Any]:
    """PUSH_LEADS with these parameters as well."""
    loop = deepcopy(PUSH_LEADS)
    loop["steps"][0]["config"]["parameters"] |= more
    return loop


def test_a_value_is_typed_over_and_a_retry_is_added_and_taken_away() -> None:
    place = f"{PAYLOAD_AT}.email"
    new = after(PUSH_LEADS, {place: "${{ event.mail }}", "steps[0].retry.max_attempts": "3", "description": "Hello"})

    assert new["steps"][0]["config"]["parameters"]["payload"] == {"email": "${{ event.mail }}"}
    assert new["steps"][0]["retry"] == {"max_attempts": 3}
    assert new["description"] == "Hello"
    again = after(new, {place: "${{ event.email }}", "steps[0].retry.max_attempts": "", "description": ""})
    assert again == PUSH_LEADS


def test_what_is_no_text_is_edited_as_json_and_stays_what_it_is() -> None:
    loop = parameters(payload={"email": "a", "score": 1, "tags": ["x"]})

    assert at(lay_out(loop, CONNECTED), f"{PAYLOAD_AT}.score").holds == "json"
    new = after(loop, {f"{PAYLOAD_AT}.score": "2.5", f"{PAYLOAD_AT}.tags": '["x", {"y": null}]'})
    assert new == parameters(payload={"email": "a", "score": 2.5, "tags": ["x", {"y": None}]})


@pytest.mark.parametrize(
    ("place", "typed", "sentence"),
    [
        (f"{PAYLOAD_AT}.tags", "{", "The text is not valid JSON"),
        (f"{PAYLOAD_AT}.tags", "1, 2", "Write one JSON value."),
        (f"{PAYLOAD_AT}.tags", "1] [", "The text is not valid JSON"),
        (f"{PAYLOAD_AT}.score", "many", "Write a number, such as 5 or 0.5."),
        (f"{PAYLOAD_AT}.score", "true", "Write a number, such as 5 or 0.5."),
        (f"{PAYLOAD_AT}.score", "", "Write a number, such as 5 or 0.5."),
        (f"{PAYLOAD_AT}.hot", "1", "Write true or false."),
        (f"{PAYLOAD_AT}.none", "x", "Null holds nothing: clear the text, or choose what it is."),
        ("steps[0].retry.max_attempts", "many", "Write a whole number."),
        ("steps[0].retry.max_attempts", "9" * 5_000, "Write a whole number."),
    ],
)
def test_what_cannot_be_read_is_told_at_its_entry_and_kept_as_typed(place: str, typed: str, sentence: str) -> None:
    loop = parameters(payload={"score": 1, "tags": [], "hot": True, "none": None})
    layout = lay_out(loop, CONNECTED)
    take(layout, posted(layout) | {at(layout, place).name: typed})

    written(loop, layout)

    assert sentence in at(layout, place).errors[0]
    assert at(layout, place).value == typed


@pytest.mark.parametrize(
    ("before", "chosen", "typed", "value"),
    [
        ("5", "number", None, 5),
        ("a", "number", " 0.5 ", 0.5),
        ("a", "boolean", "True", True),
        (5, "text", None, "5"),
        (5, "boolean", "false", False),
        ("a", "null", "", None),
        (None, "text", None, ""),
        (None, "text", "${{ event.email }}", "${{ event.email }}"),
        ("a", "json", '{"x": [1, null]}', {"x": [1, None]}),
        ([1], "json", "[2]", [2]),
        (["x"], "text", "x", "x"),
        ("a", "nonsense", None, "a"),
    ],
)
def test_a_value_becomes_what_is_chosen_beside_it(before: Any, chosen: str, typed: str | None, value: Any) -> None:
    loop = parameters(payload={"email": "a", "cell": before})
    layout = lay_out(loop, CONNECTED)
    cell = at(layout, f"{PAYLOAD_AT}.cell")
    sent = posted(layout) | {f"{cell.name}-type": chosen} | ({cell.name: typed} if typed is not None else {})
    take(layout, sent)

    new = written(loop, layout)

    assert not cell.errors
    assert new == parameters(payload={"email": "a", "cell": value})


def test_the_type_is_kept_while_something_else_cannot_be_read() -> None:
    layout = lay_out(parameters(payload={"cell": "many"}), CONNECTED)
    cell = at(layout, f"{PAYLOAD_AT}.cell")
    take(layout, posted(layout) | {f"{cell.name}-type": "number"})

    written(parameters(payload={"cell": "many"}), layout)

    assert (cell.errors, cell.value, cell.type_value) == (["Write a number, such as 5 or 0.5."], "many", "number")


def test_a_key_is_renamed_where_it_stands_and_never_over_another() -> None:
    loop = parameters(payload={"a": "1", "b": "2", "c": "3"})
    layout = lay_out(loop, CONNECTED)
    take(layout, posted(layout) | {f"{at(layout, f'{PAYLOAD_AT}.b').name}-key": "First Name"})
    assert list(written(loop, layout)["steps"][0]["config"]["parameters"]["payload"]) == ["a", "First Name", "c"]

    twice = lay_out(loop, CONNECTED)
    take(twice, posted(twice) | {f"{at(twice, f'{PAYLOAD_AT}.b').name}-key": "c"})
    written(loop, twice)
    assert [entry.errors for entry in twice.entries if entry.errors] == [["There is a row named “c” already."]]


def test_two_keys_may_change_places() -> None:
    loop = parameters(payload={"a": "1", "b": "2"})
    layout = lay_out(loop, CONNECTED)
    names = {key: f"{at(layout, f'{PAYLOAD_AT}.{key}').name}-key" for key in "ab"}
    take(layout, posted(layout) | {names["a"]: "b", names["b"]: "a"})

    assert written(loop, layout)["steps"][0]["config"]["parameters"]["payload"] == {"b": "1", "a": "2"}


def test_the_box_asks_for_the_callback_and_takes_it_back() -> None:
    layout = lay_out(PUSH_LEADS, CONNECTED)
    entry = at(layout, "steps[0].config.parameters.callback_url")
    assert entry.offer == "Let Clay answer this row"
    take(layout, posted(layout) | {f"{entry.name}-offer": "on"})

    new = written(PUSH_LEADS, layout)

    assert new == parameters(callback_url=CALLBACK_PLACEHOLDER)
    assert after(new, without="steps[0].config.parameters.callback_url") == PUSH_LEADS


def test_rows_steps_and_checks_come_and_go() -> None:
    loop: dict[str, Any] = deepcopy(PUSH_LEADS)
    for kind in StepKind:
        add_step(loop, kind)
    assert [step["kind"] for step in loop["steps"]] == ["action", *StepKind]
    assert len({step["id"] for step in loop["steps"]}) == 6
    assert move_step(loop, 0, -1) == 0
    assert move_step(loop, 5, -1) == 4
    assert loop["steps"][4]["kind"] == "check"

    checks = group_at(lay_out(loop, CONNECTED), "steps[4].config.checks")
    add_row(loop, checks.path)
    remove_row(loop, checks.rows[0][0].path)
    assert loop["steps"][4]["config"]["checks"] == [{"name": "check-2", "expr": "true"}]
    add_row(loop, ("steps", 0, "config", "parameters", "payload"))
    remove_row(loop, ("steps", 0, "config", "parameters", "payload", "email"))
    assert loop["steps"][0]["config"]["parameters"]["payload"] == {"column-2": ""}
    add_row(loop, ("steps", 3, "config", "match"))
    assert loop["steps"][3]["config"]["match"] == {"column-1": ""}


def test_a_problem_is_told_at_the_nearest_thing_that_is_shown_of_its_place() -> None:
    layout = lay_out(parameters(payload={"a": {"b": "x"}}), CONNECTED)

    layout.tell({f"{PAYLOAD_AT}.a.b": ["Bad."], "steps[0].colour": ["Odd."], "tags": ["Many."], "name": ["None."]})

    assert at(layout, f"{PAYLOAD_AT}.a").errors == [f"{PAYLOAD_AT}.a.b: Bad."]
    assert layout.cards[0].errors == ["steps[0].colour: Odd."]
    assert layout.errors == ["tags: Many."]
    assert at(layout, "name").errors == ["None."]


@pytest.mark.parametrize(
    ("written_as", "shown"), [("second", "second"), ("intg_2", "second (by its id)"), ("third", "third (not known)")]
)
def test_an_integration_is_shown_by_its_name_however_the_loop_names_it(written_as: str, shown: str) -> None:
    loop = deepcopy(PUSH_LEADS)
    loop["steps"][0]["config"]["parameters"]["integration"] = written_as

    entry = at(lay_out(loop, CONNECTED), "steps[0].config.parameters.integration")

    assert dict(entry.choices)[entry.value] == shown


def test_what_the_form_does_not_know_is_shown_beside_it() -> None:
    loop = parameters() | {"tags": {"team": "sales"}}
    loop["steps"][0]["config"]["execution_location"] = "managed"

    layout = lay_out(loop, CONNECTED)

    assert '"execution_location": "managed"' in layout.cards[0].rest
    assert "payload" not in layout.cards[0].rest
    assert '"team": "sales"' in layout.rest
