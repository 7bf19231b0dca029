"""Bodies of `/v1`: absent optionals, timestamps, unknown fields."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from rest_framework import serializers

from mobius.api.renderers import to_json
from mobius.api.serializing import RequestSerializer, known_fields, timestamp, without_nulls
from mobius.errors import InvalidFields


class Retry(RequestSerializer):
    max_attempts = serializers.IntegerField(min_value=1)


class Start(RequestSerializer):
    event = serializers.JSONField()
    idempotency_key = serializers.CharField(max_length=255, required=False)
    submission_limit = serializers.IntegerField(required=False, allow_null=True)
    retry = Retry(required=False)
    retries = Retry(many=True, required=False)
    made_at = serializers.CharField(read_only=True)


def refusal(data: Any) -> dict[str, list[str]]:
    with pytest.raises(InvalidFields) as refused:
        Start.read(data)
    return refused.value.fields


def test_a_good_body_is_read() -> None:
    body = {"event": {"email": "ada@example.com", "gone": None}, "idempotency_key": "k", "retry": {"max_attempts": 2}}

    assert Start.read(body) == body


def test_unknown_fields_are_refused_with_the_nearest_known_one() -> None:
    assert refusal({"event": {}, "idempotency_kee": "x"}) == {
        "idempotency_kee": ['There is no such field. Did you mean "idempotency_key"?']
    }
    (sentence,) = refusal({"event": {}, "zzz": 1})["zzz"]
    assert sentence.startswith("There is no such field. Known fields: event, idempotency_key, ")
    assert "made_at" not in sentence


def test_a_field_that_only_we_set_is_unknown_in_a_request() -> None:
    assert "made_at" in refusal({"event": {}, "made_at": "2026-01-01"})


def test_unknown_and_invalid_fields_are_reported_together() -> None:
    assert set(refusal({"Event": {}})) == {"Event", "event"}


def test_nested_errors_have_dotted_paths() -> None:
    body = {
        "event": {},
        "retry": {"max_attempts": 0, "delay": "1s"},
        "retries": [{"max_attempts": 1}, {"max_attempts": "many"}, 7],
    }

    assert set(refusal(body)) == {"retry.max_attempts", "retry.delay", "retries[1].max_attempts", "retries[2]"}


@pytest.mark.parametrize(
    ("body", "what"), [([], "an array"), ("x", "a string"), (7, "a number"), (True, "true or false")]
)
def test_only_an_object_is_a_body(body: Any, what: str) -> None:
    assert refusal(body) == {"body": [f"Send a JSON object, not {what}."]}


def test_null_is_no_body_either() -> None:
    assert list(refusal(None)) == ["body"]


def test_null_is_absent_unless_the_field_takes_null() -> None:
    assert Start.read({"event": 1, "idempotency_key": None, "submission_limit": None}) == {
        "event": 1,
        "submission_limit": None,
    }
    assert list(refusal({"event": None})) == ["event"]


def test_hostile_names_are_cut_and_few_are_named() -> None:
    fields = refusal({"event": {}, **{f"{'x' * 5_000}{n}": 1 for n in range(500)}})

    assert sum(len(name) + len(sentence) for name, (sentence,) in fields.items()) < 3_000


def test_known_fields_speaks_for_itself() -> None:
    known_fields({"limit": 1}, {"limit", "cursor"})
    with pytest.raises(InvalidFields, match="Did you mean"):
        known_fields({"limits": 1}, {"limit", "cursor"})


def test_absent_optionals_are_left_out_and_inner_nulls_stay() -> None:
    assert without_nulls({"a": 1, "b": None, "c": {"d": None}, "e": 0, "f": ""}) == {
        "a": 1,
        "c": {"d": None},
        "e": 0,
        "f": "",
    }


def test_timestamps_are_utc_with_microseconds_and_z() -> None:
    moment = datetime(2026, 11, 24, 3, 14, 15, 123456, tzinfo=UTC)

    assert timestamp(moment) == "2026-11-24T03:14:15.123456Z"
    assert timestamp(moment.astimezone(timezone(timedelta(hours=-6)))) == "2026-11-24T03:14:15.123456Z"
    assert timestamp(moment.replace(microsecond=0)) == "2026-11-24T03:14:15.000000Z"
    assert timestamp(None) is None
    with pytest.raises(ValueError, match="naive"):
        timestamp(datetime(2026, 11, 24))


def test_json_is_compact_and_readable() -> None:
    assert to_json({"name": "Zoë", "n": [1, 2]}) == '{"name":"Zoë","n":[1,2]}'.encode()
    assert to_json("\ud800") == rb'"\ud800"'
    with pytest.raises(ValueError, match="JSON"):
        to_json(float("nan"))
