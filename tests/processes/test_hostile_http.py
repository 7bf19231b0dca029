"""Requests that no client library would write, over raw sockets, to the real `mobius serve`: an answer in the API's own
envelope to each of them, never a 5xx, and the connection stays in step."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.processes.conftest import Console

pytestmark = pytest.mark.processes

RUNS = "/v1/projects/bench/loops/push/runs"
LIST = "/v1/projects/bench/runs"


@pytest.fixture(scope="module")
def console() -> Iterator[Console]:
    with Console() as stage:
        stage.prepare()
        yield stage


def ask(console: Console, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to these very bytes."""
    request = request.replace(
        b"$HEAD", b"Host: x\r\nConnection: close\r\nAuthorization: Bearer " + console.key.encode()
    )
    with socket.create_connection(("127.0.0.1", console.port), timeout=10) as connection:
        connection.sendall(request)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def post(body: bytes, *headers: bytes, path: str = RUNS, length: object = None) -> bytes:
    head = [f"POST {path} HTTP/1.1".encode(), b"$HEAD", *headers]
    if length != "":
        head.append(b"Content-Length: " + str(len(body) if length is None else length).encode())
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def get(path: bytes, *headers: bytes, method: bytes = b"GET") -> bytes:
    return b"\r\n".join([method + b" " + path + b" HTTP/1.1", b"$HEAD", *headers]) + b"\r\n\r\n"


JSON = b"Content-Type: application/json"
CHUNKED = b"Transfer-Encoding: chunked"
TOO_MUCH = b"40001\r\n" + b" " * 0x40001 + b"\r\n0\r\n\r\n"
REFUSED = {
    "chunks that are none": (post(b"zz\r\n{}\r\n0\r\n\r\n", JSON, CHUNKED, length=""), 400),
    "too much in chunks": (post(TOO_MUCH, JSON, CHUNKED, length=""), 413),
    "an unknown coding": (post(b"{}", JSON, b"Transfer-Encoding: gzip"), 400),
    "a coding after chunked": (post(b"0\r\n\r\n", JSON, CHUNKED + b", gzip", length=""), 400),
    "a negative length": (post(b"{}", JSON, length=-1), 400),
    "a length in words": (post(b"{}", JSON, length="two"), 400),
    "a length with a sign": (post(b"{}", JSON, length="+2"), 400),
    "a length with an underscore": (post(b"{}" + b" " * 8, JSON, length="1_0"), 400),
    "two lengths": (post(b"{}", JSON, b"Content-Length: 3"), 400),
    "a length that is too short": (post(b'{"event": {}}', JSON, length=5), 400),
    "a huge length": (post(b"{}", JSON, length=10**15), 413),
    "300 KiB": (post(b" " * 300_000, JSON), 413),
    "a zipped body": (post(gzip.compress(b"{}"), JSON, b"Content-Encoding: gzip"), 415),
    "a body that claims to be zipped": (post(b"{}", JSON, b"Content-Encoding: br"), 415),
    "no type": (post(b"{}"), 415),
    "a form": (post(b"a=b", b"Content-Type: application/x-www-form-urlencoded"), 415),
    "UTF-16": (post(b"{}", b"Content-Type: application/json; charset=utf-16"), 415),
    "a charset that does not exist": (post(b"{}", b"Content-Type: application/json; charset*=nonsense''x"), 415),
    "a charset that is no text": (post(b"{}", b"Content-Type: text/plain; charset*=utf-8''%ff%00"), 415),
    "a type of nothing but signs": (post(b"{}", b"Content-Type: \xff;;;=="), 415),
    "a NUL in a header": (post(b"{}", JSON, b"Idempotency-Key: a\0b"), 400),
    "a bell in a header": (post(b"{}", JSON, b"Idempotency-Key: a\x07b"), 400),
    "a space before the colon": (post(b"{}", JSON, b"Idempotency-Key : ab"), 400),
    "a header that goes on": (post(b"{}", JSON, b"X-A: b\r\n c: d\0"), 400),
    "a key of 3,000 characters": (post(b"{}", JSON, b"Idempotency-Key: " + b"k" * 3000), 400),
    "300 KiB of headers": (get(LIST.encode(), b"X-A: " + b"a" * 262_100), 431),
    "an unknown method": (get(LIST.encode(), method=b"BREW"), 405),
    "TRACE": (get(LIST.encode(), method=b"TRACE"), 405),
    "a method in small letters": (get(LIST.encode(), method=b"get"), 400),
    "a raw NUL in the path": (get(b"/v1/projects/bench/runs/\0"), 404),
    "a NUL in the path": (get(b"/v1/projects/bench/runs/%00"), 404),
    "a raw NUL in the query": (get(LIST.encode() + b"?loop_id=\0"), 400),
    "a NUL in the query": (get(LIST.encode() + b"?loop_id=%00"), 400),
    "a path in Latin-1": (get(b"/v1/projects/bench/runs/\xe9"), 400),
    "a path that is no UTF-8": (get(b"/v1/projects/bench/runs/%ff"), 404),
    "half a character in the path": (get(b"/v1/projects/bench/runs/%ed%a0%80"), 404),
    "a limit beyond all bounds": (get(LIST.encode() + b"?limit=99999999999999999999"), 400),
    "a limit in other digits": (get(LIST.encode() + b"?limit=%d9%a3"), 400),
    "a cursor of 50,000 characters": (get(LIST.encode() + b"?cursor=" + b"A" * 50_000), 400),
    "5,000 parameters": (get(LIST.encode() + b"?" + b"a=b&" * 5_000), 400),
    "an unknown address": (get(b"/v1/nothing"), 404),
    "a way up": (get(b"/v1/../admin/"), 404),
    "a key of other characters": (b"GET /v1/projects HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\r\n\r\n", 401),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 400),
    "nonsense": (b"nonsense\r\n\r\n", 400),
}  # fmt: skip


@pytest.mark.parametrize(("request_", "status"), REFUSED.values(), ids=REFUSED)
def test_a_request_that_cannot_be_understood_is_refused_in_the_envelope(
    console: Console, request_: bytes, status: int
) -> None:
    got, headers, body = ask(console, request_)

    assert got == status, body
    assert headers["content-type"] == "application/json"
    assert {"code", "message"} <= set(json.loads(body)["error"])


TAKEN = {
    "in chunks": post(b"2\r\n{}\r\n0\r\n\r\n", JSON, CHUNKED, length=""),
    "not compressed, and says so": post(b"{}", JSON, b"Content-Encoding: identity"),
    "with a charset": post(b"{}", b'Content-Type: application/json; charset="UTF-8"'),
    "without a body": post(b""),
    "asking for other types": post(b"{}", JSON, b"Accept: text/html;q=x, \xff;a*=nonsense''b"),
    "with a key in Latin-1": post(b"{}", JSON, "Idempotency-Key: café".encode("latin-1")),
}


@pytest.mark.parametrize("request_", TAKEN.values(), ids=TAKEN)
def test_what_is_only_unusual_is_taken(console: Console, request_: bytes) -> None:
    assert ask(console, request_)[0] in (202, 409)  # 409: the key has been used, and its run has ended


@pytest.mark.parametrize("path", [LIST, "/v1/nothing", "/login/", "/healthz"])
def test_head_leaves_nothing_on_the_connection_for_the_next_answer(console: Console, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", console.port, timeout=10)
    key = {"Authorization": f"Bearer {console.key}"}
    with closing(connection):
        connection.request("HEAD", path, headers=key)
        head = connection.getresponse()
        assert head.read() == b""
        assert connection.sock is not None, "the connection stays open"
        waiting = connection.sock
        waiting.settimeout(0.2)
        with pytest.raises(TimeoutError):
            waiting.recv(1)
        waiting.settimeout(10)
        connection.request("GET", path, headers=key)
        got = connection.getresponse()
        assert got.status == head.status
        if path.startswith("/v1/"):
            assert head.headers["Content-Length"] == str(len(got.read()))


def test_two_requests_share_a_connection(console: Console) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", console.port, timeout=10)
    headers = {"Authorization": f"Bearer {console.key}", "Content-Type": "application/json"}
    with closing(connection):
        for expected in (202, 202):
            connection.request("POST", RUNS, b"{}", headers)
            answer = connection.getresponse()
            assert (answer.status, answer.will_close) == (expected, False)
            answer.read()


def test_the_log_holds_no_traceback_after_all_of_this(console: Console) -> None:
    for request_ in [*(request_ for request_, _ in REFUSED.values()), *TAKEN.values()]:
        ask(console, request_)

    assert "Traceback" not in console.log_of("serve")
