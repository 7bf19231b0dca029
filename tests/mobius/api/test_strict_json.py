"""The strict JSON parser: what it takes, and a table of hostile bodies that it names and refuses."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from django.test import RequestFactory
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mobius.api.envelope import answer_exception
from mobius.api.parsing import MAX_BODY_BYTES, StrictJSONParser, parse_json, read_json
from mobius.api.renderers import CompactJSONRenderer
from mobius.errors import BadRequest, MobiusError, PayloadTooLarge, UnsupportedMediaType


class Echo(APIView):
    authentication_classes = ()
    permission_classes = ()
    parser_classes = (StrictJSONParser,)
    renderer_classes = (CompactJSONRenderer,)

    def get_exception_handler(self) -> Any:
        return answer_exception

    def post(self, request: Request) -> Response:
        return Response({"got": request.data})


def post(body: bytes, content_type: str = "application/json", **meta: Any) -> Any:
    answer = Echo.as_view()(RequestFactory().post("/v1/echo", body, content_type=content_type, **meta))
    return answer.render() if isinstance(answer, Response) else answer


def nested(depth: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    return opening * depth + closing * depth


TAKEN = {
    b"": {},
    b" \n": {},
    b"{}": {},
    b"[]": [],
    b"null": None,
    b'{"a": {"b": [1, -2.5, 1e3, true, null, "x"]}}': {"a": {"b": [1, -2.5, 1000.0, True, None, "x"]}},
    '{"naïve": "日本 😀"}'.encode(): {"naïve": "日本 😀"},
    rb'{"pair": "\ud83d\ude00"}': {"pair": "😀"},  # what clients that escape everything send for an emoji
    rb'{"no escape": "\\u0000 \\ud800"}': {"no escape": r"\u0000 \ud800"},
    b'{"commas": "' + b"," * 20_000 + b'"}': {"commas": "," * 20_000},
    nested(32): json.loads(nested(32)),
    b"[" + b",".join([b"0"] * 9_999) + b"]": [0] * 9_999,
    b'{"n": ' + b"9" * 308 + b"}": {"n": int("9" * 308)},
}


@pytest.mark.parametrize(("raw", "value"), TAKEN.items(), ids=[f"{raw[:24]!r}" for raw in TAKEN])
def test_plain_json_is_taken_as_it_is(raw: bytes, value: Any) -> None:
    assert parse_json(raw) == value


REFUSED = {
    "cut short": (b'{"a": 1', "line 1, column 8"),
    "two values": (b"{} {}", "Extra data at line 1, column 4"),
    "empty cell": (b'{"email": , "x": 1}', "line 1, column 11"),
    "trailing comma": (b"[1,]", "line 1"),
    "single quotes": (b"{'a': 1}", "line 1, column 2"),
    "comment": (b"{} // hello", "line 1"),
    "raw newline in a string": (b'{"a": "x\ny"}', "Invalid control character at line 1"),
    "raw NUL": (b'{"a": "\x00"}', "Invalid control character"),
    "other white space": ("\u00a0{}".encode(), "line 1"),
    "byte order mark": (b"\xef\xbb\xbf{}", "byte order mark"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
    "UTF-16 without a mark": ('{"a": 1}'.encode("utf-16-le"), "not valid JSON"),
    "Latin-1": (b'{"a": "\xe9"}', "byte 8"),
    "surrogate as bytes": (b'{"a": "\xed\xa0\x80"}', "not UTF-8"),
    "overlong NUL": (b'{"a": "\xc0\x80"}', "not UTF-8"),
    "same key twice": (b'{"email": 1, "email": 2}', '"email" stands twice'),
    "same key twice inside": (b'{"a": [{"k": 1, "k": 1}]}', '"k" stands twice'),
    "same key by escape": (rb'{"a": 1, "\u0061": 2}', '"a" stands twice'),
    "NaN": (b'{"a": NaN}', "NaN is not JSON"),
    "Infinity": (b"[Infinity]", "Infinity is not JSON"),
    "-Infinity": (b"[-Infinity]", "-Infinity is not JSON"),
    "1e400": (b'{"a": 1e400}', "1e400 is too large"),
    "-1e999": (b"[-1e999]", "-1e999 is too large"),
    "5,000 digits": (b"[" + b"9" * 5_000 + b"]", "99999999999999999999… is too large"),
    "309 digits": (b"[" + b"9" * 309 + b"]", "too large"),
    "NUL": (rb'{"a": [{"b": "x\u0000"}]}', "a NUL character in a[0].b"),
    "NUL in a key": (rb'{"a": {"b\u0000": 1}}', "a NUL character in a"),
    "lone high surrogate": (rb'{"a": "\ud800"}', "half of a surrogate pair in a"),
    "lone low surrogate": (rb'["x", "\uDC00y"]', "half of a surrogate pair in [1]"),
    "lone surrogate as the body": (rb'"\udfff"', "in the body"),
    "lone surrogate in a key twice": (rb'{"\ud800": 1, "\ud800": 2}', r'"\ud800" stands twice'),
    "33 deep": (nested(33), "more than 32 levels"),
    "33 objects deep": (b'{"a":' * 33 + b"1" + b"}" * 33, "more than 32 levels"),
    "900 deep": (nested(900), "more than 32 levels"),
    "100,000 deep": (nested(100_000), "more than 32 levels"),
    "100,000 deep and never closed": (b"[" * 100_000, "more than 32 levels"),
    "deep objects": (b'{"a":' * 40_000, "more than 32 levels"),
    "10,000 items": (b"[" + b",".join([b"0"] * 10_000) + b"]", "more than 10,000 values"),
    "many small objects": (b"[" + b",".join([b"{}"] * 60_000) + b"]", "more than 10,000 values"),
}


@pytest.mark.parametrize(("raw", "sentence"), REFUSED.values(), ids=REFUSED)
def test_hostile_json_is_refused_with_a_sentence_that_says_what_and_where(raw: bytes, sentence: str) -> None:
    answer = post(raw)

    error = json.loads(answer.content)["error"]
    assert answer.status_code == 400
    assert error["code"] == "bad_request"
    assert sentence in error["message"]
    assert len(error["message"]) < 300


def test_a_body_over_the_limit_is_refused_with_413() -> None:
    answer = post(b'"' + b"x" * MAX_BODY_BYTES + b'"')

    assert answer.status_code == 413
    assert json.loads(answer.content)["error"]["code"] == "payload_too_large"


def test_a_body_of_exactly_the_limit_is_taken() -> None:
    assert post(b'"' + b"x" * (MAX_BODY_BYTES - 2) + b'"').status_code == 200


def test_the_length_is_judged_before_anything_is_read() -> None:
    class Unread:
        def read(self, size: int) -> bytes:
            raise AssertionError("read a body that was declared too large")

    request = RequestFactory().post("/", CONTENT_LENGTH=str(MAX_BODY_BYTES + 1))

    with pytest.raises(PayloadTooLarge):
        StrictJSONParser().parse(Unread(), "application/json", {"request": request})  # type: ignore[arg-type]


def test_no_more_than_the_limit_is_read_when_the_length_is_a_lie() -> None:
    with pytest.raises(PayloadTooLarge):
        parse_json(b" " * 11, max_bytes=10)


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", 'APPLICATION/JSON;charset="UTF-8"'],
)
def test_json_may_name_its_charset(content_type: str) -> None:
    assert json.loads(post(b'{"a": 1}', content_type).content) == {"got": {"a": 1}}


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/vnd.api+json",
        "",
        "nonsense",
    ],
)
def test_everything_else_is_an_unsupported_media_type(content_type: str) -> None:
    answer = post(b'{"a": 1}', content_type)

    assert answer.status_code == 415
    assert json.loads(answer.content)["error"]["code"] == "unsupported_media_type"


def test_no_body_is_an_empty_object() -> None:
    assert json.loads(post(b"").content) == {"got": {}}


def test_a_plain_django_view_reads_under_the_same_rules() -> None:
    make = RequestFactory().post

    assert read_json(make("/", b'{"a": 1}', content_type="application/json")) == {"a": 1}
    assert read_json(make("/", b"", content_type="text/plain")) == {}
    with pytest.raises(UnsupportedMediaType):
        read_json(make("/", b"{}", content_type="text/plain"))
    with pytest.raises(BadRequest):
        read_json(make("/", b"{", content_type="application/json"))
    with pytest.raises(PayloadTooLarge):
        read_json(make("/", b"[1,2,3]", content_type="application/json"), max_bytes=3)


def test_long_keys_on_many_paths_cost_nothing() -> None:
    key = b"k" * 100_000
    body = b'{"' + key + b'": [' + b",".join([b'"\\ud83d\\ude00"'] * 9_000) + b"]}"

    began = time.perf_counter()
    parse_json(body)

    assert time.perf_counter() - began < 1


def test_a_small_body_is_parsed_in_microseconds() -> None:
    body = json.dumps({"event": {f"field_{n}": "a value" for n in range(30)}}).encode()
    parse_json(body)

    def once() -> float:
        began = time.perf_counter()
        parse_json(body)
        return time.perf_counter() - began

    assert min(once() for _ in range(200)) < 100e-6  # 10 µs here; the bound is for slow machines


def test_every_refusal_is_an_error_of_ours() -> None:
    for raw, _ in REFUSED.values():
        with pytest.raises(MobiusError):
            parse_json(raw)


@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP", "identity, gzip", "nonsense"])
def test_a_compressed_body_is_415_and_says_how_to_send_it(encoding: str) -> None:
    answer = post(b"{}", HTTP_CONTENT_ENCODING=encoding)

    assert answer.status_code == 415
    assert "without Content-Encoding" in json.loads(answer.content)["error"]["message"]


def test_a_body_that_says_that_it_is_not_compressed_is_taken() -> None:
    assert post(b"{}", HTTP_CONTENT_ENCODING="identity").status_code == 200
