"""`clay.webhook.submit`: which row the parameters make, the POST it becomes, and what the action gives back."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
import responses
from hypothesis import given
from hypothesis import strategies as st

from integrations import outbound
from integrations.providers.clay.submit import LARGEST_ROW_BYTES, SUBMIT
from integrations.providers.contract import Connection, Exchange
from integrations.providers.errors import ActionInputInvalid

URL = "https://api.clay.com/v3/sources/webhook/table-1"
PLAIN = Connection(webhook_url=URL)
GUARDED = Connection(webhook_url=URL, auth_header_name="x-clay-webhook-auth", auth_header_value="token-1")
FROM_THE_FOUNDING_DOCUMENT = {
    "payload": {"email": "ada@example.com", "company_domain": "example.com", "source": "mobius"},
    "request_id": "req_123",
    "external_id": "lead_123",
    "callback_url": "https://api.example.com/clay/callback",
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
payloads = st.dictionaries(st.text(max_size=8), json_values, max_size=5)


def row_of(**parameters: Any) -> dict[str, Any]:
    return SUBMIT.read(parameters).payload


# --- the row ---


def test_the_founding_document_s_example_makes_its_row() -> None:
    row = SUBMIT.read(FROM_THE_FOUNDING_DOCUMENT)

    assert row.payload == {
        "email": "ada@example.com",
        "company_domain": "example.com",
        "source": "mobius",
        "request_id": "req_123",
        "external_id": "lead_123",
        "callback_url": "https://api.example.com/clay/callback",
    }
    assert (row.request_id, row.external_id) == ("req_123", "lead_123")


def test_a_whole_object_that_an_expression_gives_as_text_is_the_row_with_its_types() -> None:
    text = '{"n": 1.5, "deep": {"a": [null, true]}}'

    assert row_of(payload=text, request_id="r1") == {"n": 1.5, "deep": {"a": [None, True]}, "request_id": "r1"}
    assert row_of(payload="{}", request_id="r1") == {"request_id": "r1"}


@pytest.mark.parametrize("name", ["request_id", "external_id", "callback_url"])
def test_what_the_payload_already_holds_is_not_replaced(name: str) -> None:
    assert row_of(payload={name: "mine"}, **{name: "other"}) == {name: "mine"}
    assert row_of(payload={name: None}, **{name: "other"}) == {name: None}


@pytest.mark.parametrize("unset", ["", None])
@pytest.mark.parametrize("name", ["request_id", "external_id", "callback_url"])
def test_what_is_not_set_is_not_added(name: str, unset: str | None) -> None:
    assert row_of(payload={"a": 1}, **{name: unset}) == {"a": 1}


def test_the_ids_are_found_in_the_payload_too() -> None:
    row = SUBMIT.read({"payload": {"request_id": 7, "external_id": "lead"}, "request_id": "other"})

    assert (row.request_id, row.external_id) == ("7", "lead")


@pytest.mark.parametrize("value", [True, None, 1.5, ["a"], {"a": 1}])
def test_only_text_and_whole_numbers_identify_a_row(value: Any) -> None:
    assert SUBMIT.read({"payload": {"request_id": value}}).request_id == ""


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, "payload is missing"),
        ({"payload": None}, "payload is missing"),
        ({"payload": "text"}, "payload is missing or not a JSON object"),
        ({"payload": [{"a": 1}]}, "Start one run, or write one step, per row"),
        ({"payload": {}, "request_id": 7}, "request_id must be text"),
        ({"payload": {}, "callback_url": ["x"]}, "callback_url must be text"),
        ({"payload": {}, "requestId": "x"}, "Unknown parameter requestId"),
        ({"payload": {}, "request_id": "x" * 256}, "longer than 255"),
        ({"payload": {"external_id": "x" * 256}}, "longer than 255"),
    ],
)
def test_what_is_no_row_is_refused_with_the_reason(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(ActionInputInvalid, match=words):
        SUBMIT.read(parameters)


@given(
    payloads, st.fixed_dictionaries({}, optional={name: st.text(max_size=9) for name in ("request_id", "external_id")})
)
def test_the_payload_goes_out_as_it_is(payload: dict[str, Any], ids: dict[str, str]) -> None:
    row = row_of(payload=payload, **ids)

    assert {name: row[name] for name in payload} == payload
    assert set(row) - set(payload) == {name for name, value in ids.items() if value and name not in payload}


def test_the_parameters_stay_as_they_were() -> None:
    parameters: dict[str, Any] = {"payload": {"a": 1}, "request_id": "r"}

    SUBMIT.read(parameters)

    assert parameters == {"payload": {"a": 1}, "request_id": "r"}


# --- the request ---


@given(payloads)
def test_the_body_is_the_row_as_json(row: dict[str, Any]) -> None:
    assert json.loads(SUBMIT.request(PLAIN, row).body) == row


def test_a_row_as_large_as_clay_takes_is_made_and_a_larger_one_is_refused_naming_its_keys() -> None:
    room = LARGEST_ROW_BYTES - len('{"notes":"","a":"bb"}')

    assert len(SUBMIT.request(PLAIN, {"notes": "x" * room, "a": "bb"}).body) == LARGEST_ROW_BYTES
    with pytest.raises(ActionInputInvalid, match=r"Nothing was sent.*notes \(102,38\d bytes\), a \(4 bytes\)"):
        SUBMIT.request(PLAIN, {"notes": "x" * (room + 1), "a": "bb"})


def test_the_size_counts_bytes_not_characters() -> None:
    with pytest.raises(ActionInputInvalid):
        SUBMIT.request(PLAIN, {"notes": "é" * (LARGEST_ROW_BYTES // 2)})


# --- through the transport ---


@responses.activate
def test_the_row_is_posted_as_json_to_the_webhook() -> None:
    responses.post(URL, json={"accepted": True})

    exchange = outbound.post(SUBMIT.request(PLAIN, {"email": "ada@example.com"}))

    (call,) = responses.calls
    assert json.loads(call.request.body or b"") == {"email": "ada@example.com"}
    assert call.request.headers["Content-Type"] == "application/json"
    assert "x-clay-webhook-auth" not in call.request.headers
    assert SUBMIT.output(exchange, "req_123") == {
        "ok": True,
        "status_code": 200,
        "request_id": "req_123",
        "response": {"accepted": True},
    }


@responses.activate
def test_the_auth_header_goes_out_with_the_row() -> None:
    responses.post(URL, body="OK", match=[responses.matchers.header_matcher({"x-clay-webhook-auth": "token-1"})])

    assert outbound.post(SUBMIT.request(GUARDED, {})).accepted


@responses.activate
def test_a_redirect_is_given_back_and_not_followed() -> None:
    responses.post(URL, status=307, headers={"Location": "https://elsewhere.example.com/"})

    assert outbound.post(SUBMIT.request(GUARDED, {})).status == 307
    assert len(responses.calls) == 1


@responses.activate
def test_a_network_that_fails_is_no_exception() -> None:
    responses.post(URL, body=requests.ConnectionError(f"could not reach {URL}"))

    exchange = outbound.post(SUBMIT.request(PLAIN, {}))

    assert (exchange.status, exchange.accepted) == (None, False)
    assert "table-1" not in repr(exchange)


# --- the output ---


@pytest.mark.parametrize("body", [b"OK", b"", b"[1]", b'"text"', b"{", b"\xff", b"[" * 100_000])
def test_an_answer_that_is_no_json_object_is_no_error_and_has_no_response(body: bytes) -> None:
    assert SUBMIT.output(Exchange(request_began=True, status=200, body=body), "") == {"ok": True, "status_code": 200}


def test_an_arrival_that_only_a_callback_proved_has_no_status() -> None:
    assert SUBMIT.output(Exchange(request_began=True), "req_123") == {"ok": True, "request_id": "req_123"}
