"""The simulator keeps Clay's rules, and breaks them when it is told to. Over real sockets."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from integrations.providers.clay.simulator import Behaviour, ClaySimulator

ROW = {"email": "ada@example.com", "request_id": "r-1"}
JSON = {"Content-Type": "application/json"}


class Poster:
    """A client with one kept-alive connection to a simulator."""

    def __init__(self, clay: ClaySimulator) -> None:
        self.path = "/" + clay.url.split("/", 3)[3]
        self.connection = http.client.HTTPConnection("127.0.0.1", clay.port, timeout=5)

    def send(
        self, body: Any = ROW, *, headers: dict[str, str] = JSON, path: str = "", method: str = "POST"
    ) -> tuple[int, str]:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.connection.request(method, path or self.path, content, headers)
        self.answer = self.connection.getresponse()
        return self.answer.status, self.answer.read().decode()


@pytest.fixture
def clay() -> Iterator[ClaySimulator]:
    with ClaySimulator(unpaced=True) as simulator:
        yield simulator


@pytest.fixture
def poster(clay: ClaySimulator) -> Iterator[Poster]:
    client = Poster(clay)
    yield client
    client.connection.close()


class Callee(HTTPServer):
    """Something to call back: answers with the statuses in `statuses`, then with 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), CalleeHandler)
        self.statuses: list[int] = []
        self.received: list[tuple[dict[str, str], Any]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/v1/callbacks/secret?from=clay"


class CalleeHandler(BaseHTTPRequestHandler):
    server: Callee

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.received.append((dict(self.headers) | {"path": self.path}, body))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def callee() -> Iterator[Callee]:
    server = Callee()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def wait_for_callback(clay: ClaySimulator) -> Any:
    give_up_at = time.monotonic() + 10
    while not clay.callbacks:
        assert time.monotonic() < give_up_at, "no callback was sent"
        time.sleep(0.005)
    return clay.callbacks[0]


def test_one_post_becomes_one_row_and_is_answered_with_ok(clay: ClaySimulator, poster: Poster) -> None:
    assert poster.send(ROW) == (200, "OK")

    assert [row.body for row in clay.rows] == [ROW]
    assert abs(clay.rows[0].at - time.time()) < 5


def test_an_array_is_not_split_into_rows(clay: ClaySimulator, poster: Poster) -> None:
    poster.send([ROW, ROW])

    assert [row.body for row in clay.rows] == [[ROW, ROW]]


def test_the_answer_may_be_json(clay: ClaySimulator, poster: Poster) -> None:
    clay.change(answer="json")

    assert poster.send() == (200, '{"success": true}')
    assert poster.answer.headers["Content-Type"] == "application/json"


def test_the_long_form_of_the_url_is_a_webhook_of_its_own(clay: ClaySimulator, poster: Poster) -> None:
    source = "pull-in-data-from-a-webhook-6f9619ff-8b86-d011-b42d-00c04fc964ff"

    assert poster.send(path=f"/v3/sources/webhook/{source}")[0] == 200
    assert clay.rows[0].source == source


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/"),
        ("POST", "/v3/sources/webhook/"),
        ("POST", "/v3/sources/webhook/a/b"),
        ("GET", "/v3/sources/webhook/a"),
    ],
)
def test_other_paths_and_methods_are_not_found(clay: ClaySimulator, poster: Poster, method: str, path: str) -> None:
    assert poster.send(path=path, method=method)[0] == 404
    assert clay.rows == []


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, ROW, 400),
        ({"Content-Type": "text/plain"}, ROW, 400),
        ({"Content-Type": "application/json; charset=utf-8"}, ROW, 200),
        (JSON, b"{not json", 400),
        (JSON, b'{"a": NaN}', 400),
        (JSON, b"\xff\xfe", 400),
        (JSON, b"", 400),
        (JSON, b"[" * 100_000, 400),  # nested too deeply
        (JSON, b'"' + b"x" * 102_398 + b'"', 200),  # exactly 100 KB
        (JSON, b'"' + b"x" * 102_399 + b'"', 413),
    ],
)
def test_only_json_of_at_most_100_kb_is_taken(
    clay: ClaySimulator, poster: Poster, headers: dict[str, str], body: Any, status: int
) -> None:
    assert poster.send(body, headers=headers)[0] == status
    assert len(clay.rows) == (1 if status == 200 else 0)


def test_a_huge_body_is_refused_unread(clay: ClaySimulator) -> None:
    with socket.create_connection(("127.0.0.1", clay.port), timeout=5) as client:
        client.sendall(b"POST /v3/sources/webhook/a HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nX: " + b"x" * 70_000, b"431"),
    ],
)
def test_what_is_no_readable_request_is_answered_and_closed(clay: ClaySimulator, sent: bytes, status: bytes) -> None:
    with socket.create_connection(("127.0.0.1", clay.port), timeout=5) as client:
        client.sendall(sent)
        assert client.makefile("rb").read().split(b" ")[1] == status


def test_a_missing_or_wrong_token_is_unauthorized(clay: ClaySimulator, poster: Poster) -> None:
    clay.change(token="secret")

    assert poster.send()[0] == 401
    assert poster.send(headers=JSON | {"X-Clay-Webhook-Auth": "Bearer secret"})[0] == 401
    assert poster.send(headers=JSON | {"X-Clay-Webhook-Auth": "secret"})[0] == 200


def test_a_source_takes_no_more_than_its_limit_and_another_has_its_own(clay: ClaySimulator, poster: Poster) -> None:
    clay.change(limit=1)
    poster.send()

    assert poster.send() == (403, "Record limit reached for webhook")
    assert poster.send(path="/v3/sources/webhook/other")[0] == 200


def test_a_refused_request_uses_nothing_of_the_limit(clay: ClaySimulator, poster: Poster) -> None:
    clay.change(limit=1)
    poster.send(b"{")

    assert poster.send()[0] == 200


def test_the_workspace_takes_20_at_once_and_then_10_a_second(clay: ClaySimulator, poster: Poster) -> None:
    clay.change(unpaced=False, rate_per_second=0.001)  # as Clay, but none comes back while the test runs

    statuses = [poster.send(path=f"/v3/sources/webhook/{n % 2}")[0] for n in range(21)]

    assert statuses == [200] * 20 + [429]
    assert poster.answer.headers["Retry-After"] == "1"


def test_too_many_requests_has_clays_body(clay: ClaySimulator, poster: Poster) -> None:
    clay.change(unpaced=False, burst=0)

    told = json.loads(poster.send()[1])

    assert (told["type"], told["details"]) == ("TooManyRequests", None)
    assert told["message"]


def test_the_pace_comes_back_with_time(clay: ClaySimulator, poster: Poster) -> None:
    clay.change(unpaced=False, rate_per_second=0.001, burst=1)
    poster.send()
    assert poster.send()[0] == 429

    clay.change(rate_per_second=1000.0)
    time.sleep(0.005)

    assert poster.send()[0] == 200


def test_a_failure_keeps_no_row_unless_it_is_told_to(clay: ClaySimulator, poster: Poster) -> None:
    clay.next_answers(Behaviour(fail=503), Behaviour(fail=500, keep_row=True, body=b"", headers=(("X-Odd", "1"),)))

    assert poster.send(1)[0] == 503
    assert poster.send(2) == (500, "")
    assert poster.answer.headers["X-Odd"] == "1"
    assert poster.send(3)[0] == 200
    assert [row.body for row in clay.rows] == [2, 3]


def test_a_reset_loses_the_answer_but_not_the_row(clay: ClaySimulator, poster: Poster) -> None:
    clay.next_answers(Behaviour(reset=True))

    with pytest.raises(ConnectionResetError):
        poster.send()

    assert len(clay.rows) == 1
    assert clay.stats["by_status"] == {"reset": 1}


def test_a_connection_may_be_reset_before_anything_is_read(clay: ClaySimulator, poster: Poster) -> None:
    clay.next_answers(Behaviour(close=True))

    with pytest.raises(ConnectionError):
        poster.send()

    assert clay.rows == []
    poster.connection.close()
    assert poster.send()[0] == 200


def test_a_slow_answer_comes_late_and_its_row_at_once(clay: ClaySimulator, poster: Poster) -> None:
    clay.change(slow=0.2)
    began, at = time.monotonic(), time.time()

    assert poster.send()[0] == 200

    assert time.monotonic() - began >= 0.19
    assert clay.rows[0].at - at < 0.19


def test_a_dripped_answer_comes_byte_by_byte(clay: ClaySimulator) -> None:
    clay.change(drip=0.001)
    with socket.create_connection(("127.0.0.1", clay.port), timeout=5) as client:
        client.sendall(b"GET /nothing HTTP/1.1\r\nConnection: close\r\n\r\n")
        pieces = list(iter(lambda: client.recv(4096), b""))

    assert len(pieces) > 20
    assert b"".join(pieces).startswith(b"HTTP/1.1 404 Not Found\r\n")


def test_requests_sent_together_are_answered_in_order(clay: ClaySimulator) -> None:
    clay.next_answers(Behaviour(slow=0.02), Behaviour(fail=500), Behaviour())
    post = b"POST /v3/sources/webhook/a HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n1"
    with socket.create_connection(("127.0.0.1", clay.port), timeout=5) as client:
        client.sendall(post * 2 + post.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        answers = client.makefile("rb").read()

    assert [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]] == [b"200", b"500", b"200"]


def test_rows_and_stats_can_be_read_over_http(clay: ClaySimulator, poster: Poster) -> None:
    for number in range(3):
        poster.send(number)
    poster.send(b"{")

    rows = json.loads(poster.send(method="GET", path="/rows?limit=2")[1])
    stats = json.loads(poster.send(method="GET", path="/stats")[1])

    assert [row["row"] for row in rows] == [1, 2]
    assert (stats["requests"], stats["accepted"]) == (4, 3)
    assert stats["by_status"] == {"200": 3, "400": 1}
    assert stats["first_arrival"] <= stats["last_arrival"]
    assert stats["max_rows_per_second"] == 3
    assert poster.send(method="GET", path="/rows?limit=x")[0] == 400
    assert poster.send(method="GET", path="/rows?limit=0") == (200, "[]")


def test_a_row_stands_in_the_log_when_its_answer_comes(tmp_path: Path) -> None:
    log = tmp_path / "rows.jsonl"
    with ClaySimulator(log=log) as clay:
        poster = Poster(clay)
        poster.send({"name": "Zoë\nLovelace"})
        written = log.read_text().splitlines()
        poster.connection.close()

    entry = json.loads(written[0])
    assert entry["row"] == {"name": "Zoë\nLovelace"}
    assert abs(entry["at"] - time.time()) < 5
    assert len(written) == 1


def test_a_row_is_called_back_with_its_ids_and_an_enrichment(
    clay: ClaySimulator, poster: Poster, callee: Callee
) -> None:
    clay.change(callbacks=True, callback_delay=0.01, callback_headers={"Authorization": "Bearer k"})

    poster.send(ROW | {"external_id": "x", "phone": "1", "callback_url": callee.url})

    assert wait_for_callback(clay).status == 200
    headers, body = callee.received[0]
    assert headers["path"] == "/v1/callbacks/secret?from=clay"
    assert headers["Authorization"] == "Bearer k"
    enrichment = body.pop("enriched")
    assert body == {"request_id": "r-1", "external_id": "x", "email": "ada@example.com"}
    assert enrichment["company"] == "Example"
    assert isinstance(enrichment["score"], int)


def test_rows_are_not_called_back_unless_that_is_switched_on(
    clay: ClaySimulator, poster: Poster, callee: Callee
) -> None:
    poster.send(ROW | {"callback_url": callee.url})
    clay.change(callbacks=True, callback_delay=0.0)
    poster.send(ROW)
    poster.send([ROW])
    poster.send(ROW | {"request_id": "r-2", "callback_url": callee.url})

    wait_for_callback(clay)
    assert [body["request_id"] for _, body in callee.received] == ["r-2"]


@pytest.mark.parametrize(("status", "tries"), [(408, 2), (413, 2), (429, 2), (500, 1), (503, 1), (404, 1)])
def test_a_callback_is_retried_once_and_only_for_clays_statuses(
    clay: ClaySimulator, poster: Poster, callee: Callee, status: int, tries: int
) -> None:
    callee.statuses = [status] * 3
    clay.change(callbacks=True, callback_delay=0.0)

    poster.send({"callback_url": callee.url})

    sent = wait_for_callback(clay)
    assert (sent.tries, sent.status) == (tries, status)
    assert len(callee.received) == tries


@pytest.mark.parametrize(("url", "tries"), [("http://127.0.0.1:9/", 2), ("http://[", 1), ("http://h:x/", 1)])
def test_a_callback_that_reaches_nobody_is_noted(clay: ClaySimulator, poster: Poster, url: str, tries: int) -> None:
    clay.change(callbacks=True, callback_delay=0.0)

    poster.send({"callback_url": url})

    sent = wait_for_callback(clay)
    assert (sent.tries, sent.status) == (tries, None)


def test_waiting_for_rows_ends_when_they_are_there_or_time_is_up(clay: ClaySimulator, poster: Poster) -> None:
    poster.send()

    assert len(clay.wait_for_rows(1)) == 1
    with pytest.raises(TimeoutError, match="1 of 2 rows"):
        clay.wait_for_rows(2, timeout_seconds=0.01)


def test_stopping_closes_connections_and_may_be_repeated(clay: ClaySimulator, poster: Poster) -> None:
    poster.send()
    clay.stop()
    clay.stop()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", clay.port), timeout=1)


def test_a_taken_port_is_told_at_the_start(clay: ClaySimulator) -> None:
    with pytest.raises(OSError, match="in use"):
        ClaySimulator(port=clay.port).start()


def test_the_process_prints_its_url_and_ends_in_order(clay: ClaySimulator) -> None:
    clay.stop()  # its port is free now
    script = f"from integrations.providers.clay.simulator import simulate; simulate(port={clay.port}, token='t')"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        os.kill(process.pid, signal.SIGTERM)
        rest = process.stdout.read()

    assert url == f"http://127.0.0.1:{clay.port}/v3/sources/webhook/demo"
    assert (process.returncode, rest) == (0, "")


def test_it_takes_thousands_of_rows_a_second(clay: ClaySimulator) -> None:
    post = b"POST /v3/sources/webhook/a HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n1"
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", clay.port), timeout=5) as client:
        client.sendall(post * 2000)
        clay.wait_for_rows(2000)

    assert time.monotonic() - began < 2.0  # a tenth of a second here; slow machines run tests too


def test_a_bad_day_is_the_same_bad_day_for_the_same_seed() -> None:
    def answers(seed: int) -> list[str]:
        seen = []
        with ClaySimulator(unpaced=True, trouble=0.5, seed=seed) as clay:
            for _ in range(20):
                client = Poster(clay)
                try:
                    seen.append(str(client.send()[0]))
                except (ConnectionError, http.client.HTTPException):
                    seen.append("reset")
                client.connection.close()
        return seen

    assert answers(1) == answers(1) != answers(2)
    assert {"200", "429", "reset"} <= set(answers(1) + answers(2))
