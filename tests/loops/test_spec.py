"""A loop's JSON: what is read from it, and what is refused where."""

import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loops.spec import (
    ActionConfig,
    Concurrency,
    KeyAfterEnd,
    LoopSpec,
    Retry,
    SleepConfig,
    StepKind,
    WaitConfig,
    parse_loop,
)
from mobius.errors import BadRequest, InvalidFields

ACTIONS = ["clay.webhook.submit"]
SMALLEST = {
    "name": "Push leads",
    "schema_version": "1",
    "steps": [
        {
            "id": "push",
            "kind": "action",
            "retry": {"max_attempts": 1},
            "config": {
                "action_name": "clay.webhook.submit",
                "parameters": {"payload": {"email": "${{ event.email }}"}, "request_id": "${{ meta.run_id }}"},
            },
        }
    ],
}


def submit(**more):
    config = {"action_name": "clay.webhook.submit", "parameters": {"payload": {"email": "${{ event.email }}"}}}
    return {"id": "push", "kind": "action", "config": config} | more


def sleep(**config):
    return {"kind": "sleep", "config": config or {"duration": "5m"}}


def loop(*steps, **more):
    return {"name": "Push leads", "steps": list(steps) or [submit()]} | more


def faults(data, **options):
    with pytest.raises(InvalidFields) as caught:
        parse_loop(data, **{"actions": ACTIONS} | options)
    return caught.value.fields


def test_the_smallest_loop_of_the_contract():
    spec = parse_loop(SMALLEST, actions=ACTIONS)

    (step,) = spec.steps
    assert (spec.name, spec.concurrency, spec.output, spec.key_after_end) == ("Push leads", "allow", None, "conflict")
    assert (step.key, step.index, step.kind, step.condition) == ("push", 0, StepKind.ACTION, "")
    assert step.config == ActionConfig(
        action_name="clay.webhook.submit", parameters=SMALLEST["steps"][0]["config"]["parameters"]
    )
    assert step.retry == Retry(max_attempts=1, delay=timedelta())
    assert step.timeout is None
    assert spec.authored == SMALLEST


def test_everything_that_an_author_can_say():
    wait = {
        "kind": "wait_for_event",
        "name": "Clay answers",
        "if": "${{ steps.push.output.ok }}",
        "timeout": {"duration": "1h", "on_timeout": "fail"},
        "config": {
            "event_type": "clay.callback",
            "source_id": "push",
            "match": {"request_id": "${{ meta.run_id }}"},
            "payload_mapping": {"score": "event.score ?? 0"},
        },
    }
    data = loop(
        submit(retry={"max_attempts": 10, "delay": "1m30s"}, name="Push"),
        wait,
        sleep(until="2026-11-24T09:00:00Z"),
        sleep(duration="1.5h"),
        description="Pushes.",
        concurrency="replace",
        triggers=[{"kind": "manual", "key": "m", "enabled": True}],
        event={"email": {"type": "string", "required": True}, "source": {"default": "mobius"}, "n": {"default": None}},
        config={"size": {"default": 1}, "pace": {"default": 2}},
        default_config={"pace": 3},
        output={"score": "${{ steps[1].output.score }}", "fixed": 1},
        limits={"wall_clock_timeout": "30m", "pause_after_consecutive_failures": 5},
        run_name={"template": "Lead ${{ event.email }}", "description_template": ""},
        settings={"idempotency_key_after_end": "return", "callback_requires_key": True},
        tags={"team": "growth"},
        agent_id="agent_1",
        repositories=[{"full_name": "a/b"}],
        defaults={"environment": {}},
        cleanup=[],
    )

    spec = parse_loop(data, actions=ACTIONS)

    push, waiting, until, rest = spec.steps
    assert spec.step_keys == ("push", "1", "2", "3")
    assert push.retry == Retry(max_attempts=10, delay=timedelta(seconds=90))
    assert waiting.condition == "${{ steps.push.output.ok }}"
    assert waiting.timeout == timedelta(hours=1)
    assert waiting.config == WaitConfig(
        event_type="clay.callback",
        source_id="push",
        match={"request_id": "${{ meta.run_id }}"},
        payload_mapping={"score": "event.score ?? 0"},
    )
    assert until.config == SleepConfig(duration=None, until=datetime(2026, 11, 24, 9, tzinfo=UTC))
    assert rest.config == SleepConfig(duration=timedelta(minutes=90), until=None)
    assert (spec.concurrency, spec.key_after_end) == (Concurrency.REPLACE, KeyAfterEnd.RETURN)
    assert (spec.wall_clock_timeout, spec.pause_after_consecutive_failures) == (timedelta(minutes=30), 5)
    assert spec.callback_requires_key
    assert spec.run_name == "Lead ${{ event.email }}"
    assert spec.event["email"].required
    assert spec.filled_event({"email": "a"}) == {"email": "a", "source": "mobius", "n": None}
    assert spec.filled_event({"source": None}) == {"source": None, "n": None}
    assert spec.filled_config({"pace": 4}) == {"size": 1, "pace": 4}
    assert spec.filled_config({}) == {"size": 1, "pace": 3}
    assert spec.authored == data
    assert LoopSpec.from_stored(json.loads(json.dumps(data))) == spec


def test_a_loop_without_steps_is_a_draft_and_null_counts_as_left_out():
    spec = parse_loop({"name": "Draft", "description": None, "steps": None}, actions=[])

    assert spec.steps == ()
    assert spec.authored == {"name": "Draft"}


def test_a_part_of_a_loop_needs_no_name():
    assert parse_loop({"tags": {"a": "b"}}, actions=[], partial=True).tags == {"a": "b"}
    assert parse_loop({"output": {"a": "${{ steps.push.output }}"}}, actions=[], partial=True).output
    assert faults({"tags": {"a": "b"}}) == {"name": ["This field is required."]}


@pytest.mark.parametrize(
    ("change", "place", "words"),
    [
        ({"stpes": []}, "stpes", "did you mean `steps`?"),
        ({"name": 7}, "name", "text"),
        ({"name": " "}, "name", "empty"),
        ({"name": " a"}, "name", "space"),
        ({"name": "x" * 201}, "name", "200"),
        ({"description": []}, "description", "text"),
        ({"schema_version": "2"}, "schema_version", "one of: 1"),
        ({"schema_version": 1}, "schema_version", "text"),
        ({"concurrency": "forbid"}, "concurrency", "allow, queue, skip, replace"),
        ({"steps": {}}, "steps", "an array"),
        ({"steps": [7]}, "steps[0]", "an object"),
        ({"steps": [sleep()] * 101}, "steps", "more than 100"),
        ({"triggers": [{"kind": "schedule", "config": {"cron": "@noon"}}]}, "triggers[0].config.cron", "@hourly"),
        ({"triggers": [{"kind": "schedule"}]}, "triggers[0].config", "required"),
        (
            {"triggers": [{"kind": "http", "config": {"http_handle": "short"}}]},
            "triggers[0].config.http_handle",
            "8 to",
        ),
        ({"triggers": [{"kind": "manual"}, {"kind": "http", "key": "manual"}]}, "triggers[1].key", "already"),
        ({"triggers": [{"kind": "manual"}] * 21}, "triggers", "more than 20"),
        (
            {"triggers": [{"kind": "schedule", "config": {"interval": "1h"}}], "event": {"mail": {"required": True}}},
            "triggers[0].kind",
            "event.mail",
        ),
        ({"triggers": [{"kind": "cron"}]}, "triggers[0].kind", "one of"),
        ({"triggers": [{}]}, "triggers[0].kind", "required"),
        ({"triggers": ["manual"]}, "triggers[0]", "an object"),
        ({"triggers": [{"kind": "manual", "config": {"a": 1}}]}, "triggers[0].config", "no config"),
        ({"triggers": [{"kind": "manual", "max_concurrent_runs": 0}]}, "triggers[0].max_concurrent_runs", "from 1"),
        ({"event": {"email": "string"}}, "event.email", "an object"),
        ({"event": {"email": None}}, "event.email", "an object"),
        ({"event": {"email": {"typ": "string"}}}, "event.email.typ", "did you mean `type`?"),
        ({"config": {"First Name": {"required": "yes"}}}, 'config["First Name"].required', "true or false"),
        ({"default_config": []}, "default_config", "an object"),
        ({"output": "x"}, "output", "an object"),
        ({"output": {"a": ["${{ steps.pussh.output }}"]}}, "output.a[0]", "did you mean steps.push?"),
        ({"output": {"a": "${{ callback.url }}"}}, "output.a", "cannot be read here"),
        ({"limits": {"wall_clock_timeout": "5"}}, "limits.wall_clock_timeout", "unit"),
        ({"limits": {"budget_usd": 5}}, "limits.budget_usd", "does not enforce"),
        ({"limits": {"pause_after_consecutive_failures": True}}, "limits.pause_after_consecutive_failures", "whole"),
        ({"limits": {"pause_after_consecutive_failures": 0}}, "limits.pause_after_consecutive_failures", "from 1"),
        ({"run_name": {}}, "run_name.template", "required"),
        ({"run_name": {"template": "${{ steps.push.output }}"}}, "run_name.template", "cannot be read here"),
        ({"run_name": {"template": "${{ event.a"}}, "run_name.template", "not closed"),
        ({"settings": {"idempotency_key_after": "return"}}, "settings.idempotency_key_after", "did you mean"),
        ({"settings": {"idempotency_key_after_end": "again"}}, "settings.idempotency_key_after_end", "one of"),
        ({"settings": {"callback_requires_key": 1}}, "settings.callback_requires_key", "true or false"),
        ({"tags": {f"t{i}": "" for i in range(9)}}, "tags", "more than 8"),
        ({"tags": {"mobius:x": "y"}}, 'tags["mobius:x"]', "reserved"),
        ({"tags": {"a": 1}}, "tags.a", "text of at most 256"),
        ({"tags": {"": "a"}}, 'tags[""]', "from 1 to 128"),
        ({"cleanup": [{}]}, "cleanup", "does not run cleanup"),
        ({"repositories": {}}, "repositories", "an array"),
    ],
)
def test_faults_of_a_loop_are_named_at_their_place(change, place, words):
    found = faults(loop() | change)

    assert list(found) == [place]
    assert words in found[place][0]


@pytest.mark.parametrize(
    ("step", "place", "words"),
    [
        (submit(input={}), "input", "There is no field"),
        (submit(id="a b"), "id", "letters"),
        (submit(id="x" * 65), "id", "64"),
        (submit(id=7), "id", "text"),
        (submit(id="first"), "id", "steps[0] has the key `first` already"),
        (submit(id="0", name="x" * 201), "name", "200"),
        (submit(kind="acton"), "kind", "did you mean `action`?"),
        (submit(kind="agent"), "kind", "does not run steps of kind `agent` yet"),
        (submit(kind="interaction"), "kind", "yet"),
        (submit(kind="cleanup"), "kind", "cannot be authored"),
        ({"config": {}}, "kind", "required"),
        ({"kind": "sleep"}, "config", "required"),
        (submit(config=[]), "config", "an object"),
        (submit(config={}), "config.action_name", "required"),
        (submit(config={"action_name": "clay.submit"}), "config.action_name", "known: clay.webhook.submit"),
        (submit(config={"action_name": ACTIONS[0], "params": {}}), "config.params", "did you mean `parameters`?"),
        (
            submit(config={"action_name": ACTIONS[0], "execution_location": "worker"}),
            "config.execution_location",
            "managed",
        ),
        (
            submit(config={"action_name": ACTIONS[0], "environment_id": "env_1"}),
            "config.environment_id",
            "no environments",
        ),
        (submit(config={"action_name": ACTIONS[0], "parameters": []}), "config.parameters", "an object"),
        (
            submit(config={"action_name": ACTIONS[0], "parameters": {"payload": [{}]}}),
            "config.parameters.payload",
            "one POST makes one row",
        ),
        (
            submit(config={"action_name": ACTIONS[0], "parameters": {"integration": 1}}),
            "config.parameters.integration",
            "text",
        ),
        (
            submit(config={"action_name": ACTIONS[0], "parameters": {"payload": {"a": ["${{ evnt.a }}"]}}}),
            "config.parameters.payload.a[0]",
            "did you mean `event`?",
        ),
        (
            submit(config={"action_name": ACTIONS[0], "parameters": {"payload": {"a": "${{ steps.last.output }}"}}}),
            "config.parameters.payload.a",
            "steps.last comes later",
        ),
        (
            submit(config={"action_name": ACTIONS[0], "parameters": {"payload": {"a": "${{ steps[1].output }}"}}}),
            "config.parameters.payload.a",
            "steps[1] is this step itself",
        ),
        (
            submit(config={"action_name": ACTIONS[0], "parameters": {"payload": {"a": "${{ steps[9].output }}"}}}),
            "config.parameters.payload.a",
            "There is no step steps[9]",
        ),
        (submit(**{"if": "event.a >"}), "if", "not a valid expression"),
        (submit(**{"if": "steps.fist.output.ok"}), "if", "did you mean steps.first?"),
        (submit(**{"if": "callback.url"}), "if", "cannot be read here"),
        (submit(**{"if": True}), "if", "text"),
        (submit(retry={"max_attempts": 11}), "retry.max_attempts", "from 1 to 10"),
        (submit(retry={"max_attempts": 0}), "retry.max_attempts", "from 1 to 10"),
        (submit(retry={"max_attempts": 1.0}), "retry.max_attempts", "whole number"),
        (submit(retry={"delay": "soon"}), "retry.delay", "not a duration"),
        (submit(retry={"attempts": 1}), "retry.attempts", "max_attempts"),
        (submit(timeout={"duration": "0s"}), "timeout.duration", "longer than 0"),
        (submit(timeout={"duration": "1h", "on_timeout": "skip"}), "timeout.on_timeout", "fail"),
        (sleep(duration="1 hour"), "config.duration", "not a duration"),
        (sleep(duration=5), "config.duration", "text"),
        (sleep(duration="5m", until="2026-11-24T09:00:00Z"), "config.duration", "either"),
        ({"kind": "sleep", "config": {}}, "config.duration", "either"),
        (sleep(until="2026-11-24 09:00"), "config.until", "offset"),
        (sleep(until="tomorrow"), "config.until", "offset"),
        ({"kind": "wait_for_event", "config": {}}, "config.event_type", "required"),
        (
            {"kind": "wait_for_event", "config": {"event_type": "clay.callback", "source_id": "last"}},
            "config.source_id",
            "comes later",
        ),
        (
            {"kind": "wait_for_event", "config": {"event_type": "clay.callback", "source_id": "psh"}},
            "config.source_id",
            "There is no step steps.psh",
        ),
        ({"kind": "wait_for_event", "config": {"event_type": "a", "match": "x"}}, "config.match", "an object"),
        (
            {"kind": "wait_for_event", "config": {"event_type": "a", "payload_mapping": {"x": "config.a"}}},
            "config.payload_mapping.x",
            "only event, meta",
        ),
        (
            {"kind": "wait_for_event", "config": {"event_type": "a", "payload_mapping": {"x": None}}},
            "config.payload_mapping.x",
            "an expression",
        ),
    ],
)
def test_faults_of_a_step_are_named_at_their_place(step, place, words):
    found = faults(loop(submit(id="first"), step, {"id": "last"} | sleep()))

    assert list(found) == [f"steps[1].{place}"]
    assert words in found[f"steps[1].{place}"][0]


def test_all_faults_are_told_at_once():
    found = faults({"nam": "x", "steps": [sleep(duration="x"), submit(**{"if": "("})], "concurrency": "never"})

    assert set(found) == {"nam", "name", "steps[0].config.duration", "steps[1].if", "concurrency"}


def test_another_event_may_have_a_source_that_is_no_step():
    parse_loop(loop({"kind": "wait_for_event", "config": {"event_type": "crm.updated", "source_id": "x"}}), actions=[])


def test_an_action_may_judge_its_own_parameters():
    def refuse(parameters):
        raise BadRequest(f"no payload in {sorted(parameters)}")

    found = faults(loop(submit()), parameter_checks={"clay.webhook.submit": refuse})

    assert found == {"steps[0].config.parameters": ["no payload in ['payload']"]}


@pytest.mark.parametrize("text", ["x" * 300_000, "\ud800"])
def test_a_loop_that_cannot_be_stored_is_refused(text):
    assert "256 KiB" in faults(loop(description=text))["steps"][0]


def test_nesting_without_end_is_refused():
    nested = {}
    for _ in range(100_000):
        nested = {"a": nested}

    assert faults(loop(default_config=nested))


def test_what_is_no_object_is_refused():
    assert faults([]) == {"steps": ["A loop is a JSON object."]}


def test_no_more_faults_than_anybody_would_read():
    assert len(faults(loop(**{f"unknown_{index}": 1 for index in range(5000)}))) == 100


def test_a_stored_spec_is_read_quickly():
    stored = json.loads(json.dumps(SMALLEST))

    def seconds():
        started = time.perf_counter()
        LoopSpec.from_stored(stored)
        return time.perf_counter() - started

    assert min(seconds() for _ in range(200)) < 200e-6


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["${{ steps.a.output }}", "5m"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
step_like = st.fixed_dictionaries(
    {"kind": st.sampled_from(["action", "sleep", "wait_for_event", "loop"]) | json_values},
    optional={
        "id": json_values,
        "if": json_values,
        "retry": st.dictionaries(st.sampled_from(["max_attempts", "delay"]), json_values),
        "timeout": st.dictionaries(st.sampled_from(["duration", "on_timeout"]), json_values),
        "config": st.dictionaries(
            st.sampled_from(
                ["action_name", "parameters", "duration", "until", "event_type", "match", "payload_mapping"]
            ),
            json_values,
        ),
    },
)


@given(
    st.dictionaries(
        st.sampled_from(["event", "config", "output", "limits", "run_name", "settings", "tags", "triggers", "name"]),
        json_values,
    ),
    st.lists(step_like | json_values, max_size=3),
)
def test_any_json_is_a_loop_or_refused_with_places(data, steps):
    try:
        spec = parse_loop(data | {"steps": steps}, actions=ACTIONS)
    except InvalidFields as error:
        json.dumps(error.details)
    else:
        assert LoopSpec.from_stored(spec.authored) == spec
