"""Who is asking, behind a proxy or not: over real sockets, with the server that `mobius serve` runs."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mobius.serving import Server
from mobius.web.proxy import BehindProxy

LOCAL = ["127.0.0.0/8", "::1/128"]
Headers = list[tuple[str, str]]


def echo(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answers with the caller's address, the scheme it is said to have used, and who is said to be asked."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    said = [environ["REMOTE_ADDR"]]
    said += [environ.get(name, "-") for name in ("HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_X_REAL_IP")]
    return [" ".join(said).encode()]


@contextmanager
def served(application: Any) -> Iterator[int]:
    stopping = threading.Event()
    server = Server(application, host="127.0.0.1", port=0)
    thread = threading.Thread(target=server.run, args=(stopping,))
    thread.start()
    try:
        yield server._server.effective_port
    finally:
        stopping.set()
        server.wake()
        thread.join()
        server.drain()
        for one in list(server._sockets.values()):
            one.close()


@pytest.fixture
def ask() -> Callable[[list[str], Headers], list[str]]:
    def ask(proxies: list[str], headers: Headers) -> list[str]:
        with served(BehindProxy(echo, proxies=proxies)) as port:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.putrequest("GET", "/")
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders()
            words = connection.getresponse().read().decode().split(" ")
            connection.close()
            return words

    return ask


SPOOFED = [
    ("X-Forwarded-For", "192.0.2.1"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Real-IP", "192.0.2.1"),
]


def test_without_a_stated_proxy_nobody_s_word_counts(ask: Any) -> None:
    assert ask([], SPOOFED) == ["127.0.0.1", "-", "-", "-"]


def test_of_another_than_the_stated_proxy_nothing_is_believed(ask: Any) -> None:
    assert ask(["10.0.0.1/32"], SPOOFED) == ["127.0.0.1", "-", "-", "-"]


def test_the_stated_proxy_says_who_is_asking_and_how(ask: Any) -> None:
    assert ask(LOCAL, SPOOFED)[:2] == ["192.0.2.1", "https"]


@pytest.mark.parametrize(
    ("forwarded", "caller"),
    [
        ([], "127.0.0.1"),
        (["192.0.2.66, 198.51.100.7"], "198.51.100.7"),  # the caller wrote the first one
        (["192.0.2.66, 198.51.100.7, 127.0.0.2"], "198.51.100.7"),  # two proxies
        (["192.0.2.66", "198.51.100.7"], "198.51.100.7"),  # two headers
        (["127.0.0.3"], "127.0.0.3"),
        (["nonsense"], "127.0.0.1"),
        (["192.0.2.66, nonsense"], "127.0.0.1"),
        (["192.0.2.66, "], "127.0.0.1"),
        (["2001:db8::7"], "2001:db8::7"),
        (["::ffff:192.0.2.7"], "192.0.2.7"),
        (["192.0.2.7:4711"], "127.0.0.1"),
        (["<script>" * 100], "127.0.0.1"),
    ],
)
def test_the_last_address_that_is_no_proxy_s_is_the_caller_s(ask: Any, forwarded: list[str], caller: str) -> None:
    assert ask(LOCAL, [("X-Forwarded-For", value) for value in forwarded])[0] == caller
