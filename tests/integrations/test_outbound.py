from __future__ import annotations

import gzip
import json
import logging
import os
import socket
import ssl
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import responses

from integrations import outbound
from integrations.outbound import post
from integrations.providers.contract import Exchange, Failure, OutgoingRequest, Stage
from tests.integrations.hostile import HOSTILE, resolve_to
from tests.integrations.sockets import OK, Authority, Server, answers, drips, resets

Behaviour = Callable[[Server, socket.socket], None]
Serve = Callable[..., Server]
KIB_64 = 64 * 1024


@pytest.fixture
def serve(settings: Any) -> Iterator[Serve]:
    """Starts a misbehaving server and allows its address and port, and nothing else."""
    settings.MOBIUS_OUTBOUND_ALLOW = []
    with ExitStack() as stack:

        def start(behave: Behaviour, *, tls: ssl.SSLContext | None = None) -> Server:
            server = stack.enter_context(Server(behave, tls=tls))
            settings.MOBIUS_OUTBOUND_ALLOW = [*settings.MOBIUS_OUTBOUND_ALLOW, server.allow]
            return server

        yield start


def send(url: str, body: bytes = b'{"email":"ada@example.com"}', **options: Any) -> Exchange:
    headers = options.pop("headers", {"x-clay-webhook-auth": "token"})
    return post(OutgoingRequest(url=url, body=body, headers=headers), **options)


class TestAnOrdinaryAnswer:
    def test_the_row_goes_out_as_one_post_with_nothing_added_but_what_http_needs(self, serve: Serve) -> None:
        server = serve(answers(OK))

        exchange = send(server.url, body=b'{"a":1}')

        head, _, body = server.requests[0].partition(b"\r\n\r\n")
        line, *headers = head.decode().split("\r\n")
        assert line == "POST /table-path?key=abc HTTP/1.1"
        assert sorted(header.lower() for header in headers) == sorted(
            [
                f"host: 127.0.0.1:{server.port}",
                "accept-encoding: identity",
                "user-agent: mobius-console",
                "content-type: application/json",
                "content-length: 7",
                "connection: close",
                "x-clay-webhook-auth: token",
            ]
        )
        assert body == b'{"a":1}'
        assert exchange.request_began
        assert exchange.accepted
        assert exchange.failure is None

    def test_status_headers_and_body_come_back(self, serve: Serve) -> None:
        server = serve(answers(b"HTTP/1.1 429 Slow Down\r\nRetry-After: 7\r\nX-A: b\r\nContent-Length: 4\r\n\r\nwait"))

        exchange = send(server.url)

        assert (exchange.status, exchange.body, exchange.failure) == (429, b"wait", None)
        assert exchange.headers["retry-after"] == "7"
        assert exchange.headers["x-a"] == "b"
        assert 0 <= exchange.latency_ms < 10_000

    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            b"HTTP/1.0 200 OK\r\n\r\nabcde",
            b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nabcde",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde",
            b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nabcde",
            b"HTTP/1.1 200 OK\r\nno header\r\nX: a\r\n Content-Length: 2\r\n: 2\r\nContent-Length:5\r\n\r\nabcde",
        ],
        ids=["chunked", "until it hangs up", "no reason", "after interim answers", "length of nonsense", "odd lines"],
    )
    def test_every_way_to_frame_a_body_is_understood(self, serve: Serve, answer: bytes) -> None:
        exchange = send(serve(answers(answer)).url)

        assert (exchange.status, exchange.body, exchange.failure) == (200, b"abcde", None)

    def test_an_answer_without_a_body_is_complete(self, serve: Serve) -> None:
        exchange = send(serve(answers(b"HTTP/1.1 204 No Content\r\n\r\n")).url)

        assert (exchange.status, exchange.body, exchange.failure) == (204, b"", None)

    def test_a_redirect_is_an_answer_and_is_not_followed(self, serve: Serve) -> None:
        elsewhere = serve(answers(OK))
        location = elsewhere.url.encode()
        redirecting = serve(
            answers(b"HTTP/1.1 307 Go\r\nLocation: " + location + b"\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")
        )

        exchange = send(redirecting.url)

        assert exchange.status == 307
        assert not exchange.accepted
        assert elsewhere.connections == 0

    def test_nothing_is_remembered_from_one_call_to_the_next(self, serve: Serve) -> None:
        server = serve(answers(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"))

        send(server.url)
        send(server.url)

        assert server.connections == 2
        assert b"cookie" not in server.requests[1].lower()

    def test_the_stages_are_told_in_their_order(self, serve: Serve) -> None:
        stages: list[Stage] = []

        send(serve(answers(OK)).url, on_stage=stages.append)

        assert stages == list(Stage)


class TestAHostileAnswer:
    def test_a_server_that_never_answers_ends_at_the_deadline(self, serve: Serve) -> None:
        exchange = send(serve(drips(b"", b"")).url, timeout_seconds=0.3)

        assert exchange.request_began
        assert (exchange.status, exchange.failure) == (None, Failure.TIMEOUT)
        assert exchange.latency_ms < 3_000

    def test_dripped_headers_end_at_the_deadline_and_the_status_is_kept(self, serve: Serve) -> None:
        exchange = send(serve(drips(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n")).url, timeout_seconds=0.3)

        assert (exchange.status, exchange.failure) == (200, Failure.TIMEOUT)
        assert exchange.accepted

    @pytest.mark.parametrize("framing", [b"Content-Length: 5000", b"X-No: length"])
    def test_a_dripped_body_ends_at_the_deadline_and_what_came_is_kept(self, serve: Serve, framing: bytes) -> None:
        exchange = send(serve(drips(b"HTTP/1.1 503 No\r\n" + framing + b"\r\n\r\n", b"x")).url, timeout_seconds=0.3)

        assert (exchange.status, exchange.failure) == (503, Failure.TIMEOUT)
        assert exchange.body.startswith(b"xx")

    @pytest.mark.parametrize("piece", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n"])
    def test_endless_interim_answers_end_at_the_deadline(self, serve: Serve, piece: bytes) -> None:
        exchange = send(serve(drips(b"", piece)).url, timeout_seconds=0.3)

        assert exchange.request_began
        assert (exchange.status, exchange.failure) == (None, Failure.TIMEOUT)

    def test_a_flood_of_interim_answers_ends_long_before_the_deadline(self, serve: Serve) -> None:
        exchange = send(serve(answers(b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000)).url)

        assert (exchange.status, exchange.failure) == (None, Failure.TOO_LARGE)

    @pytest.mark.parametrize(
        "framing", [b"Content-Length: 30000000", b"Transfer-Encoding: chunked", b"X-No: length"], ids=bytes.decode
    )
    def test_of_a_huge_body_64_kib_are_kept(self, serve: Serve, framing: bytes) -> None:
        chunk = b"fffff\r\n" + b"x" * 0xFFFFF + b"\r\n" if b"chunked" in framing else b"x" * 1_000_000
        exchange = send(serve(answers(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n" + chunk * 30)).url)

        assert (exchange.status, exchange.failure) == (200, Failure.TOO_LARGE)
        assert exchange.body == b"x" * KIB_64

    def test_a_body_of_exactly_64_kib_is_complete(self, serve: Serve) -> None:
        exchange = send(serve(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n" + b"x" * KIB_64)).url)

        assert exchange.failure is None
        assert len(exchange.body) == KIB_64

    @pytest.mark.parametrize(
        "head", [b"X-A: " + b"x" * 200_000, b"\r\n".join([b"X-A: " + b"x" * 1000] * 90)], ids=["one line", "many"]
    )
    def test_a_huge_head_is_cut_off_and_the_status_is_kept(self, serve: Serve, head: bytes) -> None:
        exchange = send(serve(answers(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")).url)

        assert (exchange.status, exchange.failure) == (200, Failure.TOO_LARGE)

    def test_five_hundred_headers_are_a_bad_answer_with_a_status(self, serve: Serve) -> None:
        exchange = send(serve(answers(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 500 + b"\r\n")).url)

        assert (exchange.status, exchange.failure) == (200, Failure.BAD_ANSWER)

    @pytest.mark.parametrize("encoding", [b"gzip", b"br", b"gzip, gzip", b"nonsense"])
    def test_a_packed_body_is_dropped_unread_and_the_status_is_kept(self, serve: Serve, encoding: bytes) -> None:
        packed = gzip.compress(b"0" * 10_000_000)
        exchange = send(serve(answers(b"HTTP/1.1 200 OK\r\nContent-Encoding: " + encoding + b"\r\n\r\n" + packed)).url)

        assert (exchange.status, exchange.failure, exchange.body) == (200, Failure.BAD_ANSWER, b"")

    @pytest.mark.parametrize(
        "answer",
        [
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"220 mail ready\r\n",
            b"\r\n\r\n",
            b"HTTP/1.1 abc\r\n\r\n",
            b"HTTP/1.1 20\r\n\r\n",
            b"HTTP/2.0 200 OK\r\n\r\n",
            b"\x15\x03\x01\x00\x02\x02\x16",
            b"HTTP/1.1 101 Switching\r\n\r\n",
        ],
    )
    def test_what_is_not_http_is_a_bad_answer_without_a_status(self, serve: Serve, answer: bytes) -> None:
        exchange = send(serve(answers(answer)).url)

        assert exchange.request_began
        assert (exchange.status, exchange.failure) == (None, Failure.BAD_ANSWER)

    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n32\r\nshort",
        ],
    )
    def test_a_body_that_ends_early_is_kept_and_said_to_be_cut_short(self, serve: Serve, answer: bytes) -> None:
        exchange = send(serve(answers(answer)).url)

        assert (exchange.status, exchange.failure, exchange.body) == (200, Failure.RESET, b"short")

    @pytest.mark.parametrize("behave", [answers(b""), resets(b""), resets(b"HTTP/1.")])
    def test_a_connection_that_ends_before_the_status_leaves_the_row_in_doubt(
        self, serve: Serve, behave: Behaviour
    ) -> None:
        exchange = send(serve(behave).url)

        assert exchange.request_began
        assert exchange.status is None
        assert exchange.failure in (Failure.RESET, Failure.BAD_ANSWER)

    def test_a_reset_in_the_middle_of_the_body_keeps_status_and_beginning(self, serve: Serve) -> None:
        exchange = send(serve(resets(b"HTTP/1.1 500 Oops\r\nContent-Length: 50\r\n\r\nshort")).url)

        assert (exchange.status, exchange.failure, exchange.body) == (500, Failure.RESET, b"short")

    def test_a_server_that_does_not_read_ends_at_the_deadline(self, serve: Serve) -> None:
        exchange = send(serve(lambda server, _: server.stopped.wait(5)).url, b"x" * 20_000_000, timeout_seconds=0.3)

        assert exchange.request_began
        assert (exchange.status, exchange.failure) == (None, Failure.TIMEOUT)

    def test_an_answer_given_before_the_body_was_read_is_heard(self, serve: Serve) -> None:
        def refuse(server: Server, connection: socket.socket) -> None:
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
            connection.shutdown(socket.SHUT_WR)
            server.stopped.wait(0.2)

        assert send(serve(refuse).url, b"x" * 20_000_000).status == 413


class TestNothingIsSent:
    def test_when_the_right_to_send_is_gone_the_connection_closes_without_a_byte(self, serve: Serve) -> None:
        seen: list[bytes] = []
        stages: list[Stage] = []
        server = serve(lambda _, connection: seen.append(connection.recv(1)))

        exchange = send(server.url, may_begin=lambda: False, on_stage=stages.append)

        assert (exchange.request_began, exchange.status, exchange.failure) == (False, None, Failure.WITHHELD)
        assert stages == [Stage.ADDRESS, Stage.CONNECTED]
        server.__exit__()
        assert seen == [b""]

    def test_the_right_is_asked_once_and_only_when_the_connection_stands(self, serve: Serve) -> None:
        asked: list[Stage | str] = []

        send(serve(answers(OK)).url, may_begin=lambda: asked.append("asked") or True, on_stage=asked.append)  # type: ignore[func-returns-value]

        assert asked[:4] == [Stage.ADDRESS, Stage.CONNECTED, "asked", Stage.SENT]
        assert asked.count("asked") == 1

    def test_what_the_callers_own_function_raises_reaches_the_caller(self, serve: Serve) -> None:
        def crash() -> bool:
            raise LookupError("lost")

        with pytest.raises(LookupError):
            send(serve(answers(OK)).url, may_begin=crash)

    @pytest.mark.parametrize(
        "headers",
        [{"Host": "evil"}, {"Transfer-Encoding": "chunked"}, {"X A": "b"}, {"X-A": "b\r\nC: d"}, {"X-A": ""}],
    )
    def test_a_header_that_is_not_allowed_withholds_the_row(self, serve: Serve, headers: dict[str, str]) -> None:
        server = serve(answers(OK))

        exchange = send(server.url, headers=headers)

        assert (exchange.request_began, exchange.failure) == (False, Failure.WITHHELD)
        assert server.connections == 0

    def test_a_refused_connection_is_told_apart_from_an_unreachable_name(self, settings: Any) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        settings.MOBIUS_OUTBOUND_ALLOW = [f"127.0.0.1/32:{port}"]

        exchange = send(f"http://127.0.0.1:{port}/")

        assert (exchange.request_began, exchange.failure) == (False, Failure.CONNECT)

    def test_addresses_that_swallow_packets_share_the_time_to_connect(
        self, serve: Serve, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = serve(answers(OK))
        settings.MOBIUS_OUTBOUND_ALLOW = [f"127.0.0.0/8:{server.port}"]
        monkeypatch.setattr(outbound, "CONNECT_SECONDS", 0.4)
        resolve_to(monkeypatch, {"slow.test": [["127.0.0.9", "127.0.0.1"]], "dead.test": [["127.0.0.9", "127.0.0.9"]]})
        swallow(monkeypatch, "127.0.0.9")

        assert send(f"http://slow.test:{server.port}/").status == 200
        dead = send(f"http://dead.test:{server.port}/")
        assert (dead.request_began, dead.failure) == (False, Failure.CONNECT_TIMEOUT)


class TestTLS:
    @pytest.fixture
    def authority(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
        """Trusted by the context that we really use, beside the public ones."""
        authority = Authority(tmp_path)
        context = outbound._tls_context.__wrapped__()
        authority.trusted_by(context)
        monkeypatch.setattr(outbound, "_tls_context", lambda: context)
        resolve_to(monkeypatch, {"good.test": [["127.0.0.1"]]})
        return authority

    def test_a_trusted_certificate_for_this_name_is_taken_and_the_name_is_shown(
        self, serve: Serve, authority: Authority
    ) -> None:
        names: list[str | None] = []
        tls = authority.server_context("good.test")
        tls.sni_callback = lambda _, name, __: names.append(name)
        server = serve(answers(OK), tls=tls)

        exchange = send(f"https://good.test:{server.port}/x")

        assert (exchange.status, exchange.body, exchange.failure) == (200, b"OK", None)
        assert names == ["good.test"]
        assert f"Host: good.test:{server.port}\r\n".encode() in server.requests[0]

    def test_a_certificate_may_be_for_an_address(self, serve: Serve, authority: Authority) -> None:
        server = serve(answers(OK), tls=authority.server_context("127.0.0.1"))

        assert send(f"https://127.0.0.1:{server.port}/x").status == 200

    @pytest.mark.parametrize(("name", "days"), [("other.test", 1), ("good.test", -1)], ids=["wrong name", "expired"])
    def test_a_certificate_that_does_not_fit_ends_it_before_a_byte_of_the_request(
        self, serve: Serve, authority: Authority, name: str, days: int
    ) -> None:
        server = serve(answers(OK), tls=authority.server_context(name, days=days))

        exchange = send(f"https://good.test:{server.port}/x")

        assert (exchange.request_began, exchange.status, exchange.failure) == (False, None, Failure.TLS)
        assert server.requests == []

    @pytest.mark.usefixtures("authority")
    def test_a_certificate_from_a_stranger_ends_it_too(self, serve: Serve, tmp_path: Path) -> None:
        stranger = Authority(tmp_path)
        server = serve(answers(OK), tls=stranger.server_context("good.test"))

        assert send(f"https://good.test:{server.port}/x").failure is Failure.TLS

    @pytest.mark.usefixtures("authority")
    def test_who_does_not_speak_tls_is_told_so(self, serve: Serve) -> None:
        server = serve(lambda _, connection: connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n"))

        exchange = send(f"https://good.test:{server.port}/x")

        assert (exchange.request_began, exchange.failure) == (False, Failure.TLS)

    @pytest.mark.usefixtures("authority")
    def test_the_context_refuses_what_is_older_than_tls_1_2_and_always_verifies(self) -> None:
        assert outbound._tls_context().minimum_version is ssl.TLSVersion.TLSv1_2
        assert outbound._tls_context().verify_mode is ssl.CERT_REQUIRED
        assert outbound._tls_context().check_hostname

    @pytest.mark.usefixtures("authority")
    def test_a_dripped_handshake_ends_at_the_deadline(self, serve: Serve) -> None:
        def drip_handshake(server: Server, connection: socket.socket) -> None:
            connection.sendall(b"\x16\x03\x03\x3f\xff")  # a record of 16 KiB, which then comes a byte at a time
            server.drip(connection, b"\x02")

        exchange = send(f"https://good.test:{serve(drip_handshake).port}/x", timeout_seconds=0.3)

        assert (exchange.request_began, exchange.failure) == (False, Failure.TIMEOUT)
        assert exchange.latency_ms < 3_000

    def test_dripped_headers_over_tls_end_at_the_deadline(self, serve: Serve, authority: Authority) -> None:
        server = serve(drips(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"), tls=authority.server_context("good.test"))

        exchange = send(f"https://good.test:{server.port}/x", timeout_seconds=0.4)

        assert (exchange.request_began, exchange.status, exchange.failure) == (True, 200, Failure.TIMEOUT)
        assert exchange.latency_ms < 3_000

    def test_the_right_to_send_is_asked_after_the_handshake(self, serve: Serve, authority: Authority) -> None:
        server = serve(answers(OK), tls=authority.server_context("good.test"))
        stages: list[Stage] = []

        exchange = send(f"https://good.test:{server.port}/x", may_begin=lambda: False, on_stage=stages.append)

        assert (exchange.request_began, exchange.failure) == (False, Failure.WITHHELD)
        assert stages == [Stage.ADDRESS, Stage.CONNECTED]


def swallow(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Connecting to `address` takes until the socket's time is up."""
    connect = socket.socket.connect

    def patient(sock: socket.socket, to: Any) -> None:
        if to[0] == address:
            assert sock.gettimeout() is not None
            raise TimeoutError
        connect(sock, to)

    monkeypatch.setattr(socket.socket, "connect", patient)


class TestAddresses:
    def test_there_are_enough_hostile_urls_to_be_worth_the_name(self) -> None:
        assert len(set(HOSTILE)) == len(HOSTILE) >= 80

    @pytest.mark.parametrize("url", HOSTILE)
    def test_a_hostile_url_is_unreachable_and_nothing_is_dialled(self, url: str, dialled: list[Any]) -> None:
        exchange = send(url)

        assert dialled == []
        assert exchange == Exchange(request_began=False, failure=Failure.UNREACHABLE, latency_ms=exchange.latency_ms)

    def test_a_public_name_is_dialled_at_the_addresses_of_one_look_up(
        self, dialled: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = resolve_to(monkeypatch, {"public.test": [["8.8.8.8", "2606:4700::1111"]]})

        exchange = send("https://public.test/x")

        assert dialled == [("8.8.8.8", 443), ("2606:4700::1111", 443, 0, 0)]
        assert asked == ["public.test"]
        assert (exchange.request_began, exchange.failure) == (False, Failure.CONNECT)

    def test_a_name_that_moves_inside_after_it_was_judged_does_not_get_us_inside(
        self, dialled: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        resolve_to(monkeypatch, {"moving.test": [["8.8.8.8"], ["127.0.0.1"]]})

        send("https://moving.test/")
        exchange = send("https://moving.test/")

        assert dialled == [("8.8.8.8", 443)]
        assert exchange.failure is Failure.UNREACHABLE

    def test_the_exception_holds_for_its_port_only(self, serve: Serve) -> None:
        allowed, forbidden = serve(answers(OK)), Server(answers(OK))

        with forbidden:
            assert send(allowed.url).status == 200
            assert send(forbidden.url).failure is Failure.UNREACHABLE
            assert forbidden.connections == 0

    def test_a_name_may_be_used_at_an_excepted_port(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        server = serve(answers(OK))
        resolve_to(monkeypatch, {"localhost": [["127.0.0.1"], ["127.0.0.1", "8.8.8.8"]]})

        assert send(f"http://localhost:{server.port}/").status == 200
        assert send(f"http://localhost:{server.port}/").failure is Failure.UNREACHABLE


class TestTheProcess:
    def test_proxies_and_credentials_of_the_environment_are_ignored(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        server, proxy = serve(answers(OK)), serve(answers(OK))
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login ada password secret\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")

        assert send(server.url).status == 200
        assert proxy.connections == 0
        assert b"authorization" not in server.requests[0].lower()

    def test_the_log_holds_neither_the_path_nor_a_header_even_at_debug(
        self, serve: Serve, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        for behave in (answers(OK), answers(b"HTTP/1.1 200 OK\r\nodd header\r\n : x\r\n\r\n"), resets(b"")):
            send(serve(behave).url)

        assert logging.getLogger("urllib3.connectionpool").getEffectiveLevel() == logging.WARNING
        assert "table-path" not in caplog.text
        assert "token" not in caplog.text

    @pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="counts open files by /dev/fd")
    def test_every_ending_closes_what_it_opened(self, serve: Serve) -> None:
        endings = [
            serve(behave).url
            for behave in (answers(OK), answers(b"nonsense\r\n"), resets(b""), answers(b"HTTP/1.1 200 OK\r\nA: b\r\n"))
        ]

        ports = {urlsplit(url).port for url in endings}
        send(endings[0])
        before = _sockets_to(ports)
        for url in endings * 5:
            send(url)
            send(url, may_begin=lambda: False)

        give_up_at = time.monotonic() + 5  # the server closes its own sides on threads of its own
        while _sockets_to(ports) - before and time.monotonic() < give_up_at:
            time.sleep(0.01)
        assert _sockets_to(ports) - before == set()

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_a_forked_child_keeps_its_deadlines(self, serve: Serve) -> None:
        slow, quick = serve(drips(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n")), serve(answers(OK))
        script = f"""
            import os, django
            from django.conf import settings
            settings.configure(MOBIUS_OUTBOUND_ALLOW=["{slow.allow}", "{quick.allow}"])
            from integrations.outbound import post
            from integrations.providers.contract import OutgoingRequest
            ask = lambda url: post(OutgoingRequest(url=url, body=b"x", headers={{}}), timeout_seconds=0.3)
            assert ask("{quick.url}").status == 200
            if os.fork() == 0:
                os._exit(0 if ask("{slow.url}").failure == "timeout" else 1)
            raise SystemExit(os.waitstatus_to_exitcode(os.wait()[1]))
        """
        ran = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)], cwd=Path(__file__).parents[2], timeout=20, check=False
        )
        assert ran.returncode == 0


def _sockets_to(ports: set[int | None]) -> set[str]:
    """This process's open sockets whose far side is one of these ports, or is gone."""
    found = set()
    for fd in os.listdir("/dev/fd"):
        try:
            link = os.readlink(f"/dev/fd/{fd}")
            opened = socket.socket(fileno=os.dup(int(fd))) if link.startswith("socket") else None
        except OSError:  # closed meanwhile
            continue
        if opened is None:
            continue
        with opened:
            listens = opened.family != socket.AF_INET or opened.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            try:
                port = opened.getpeername()[1] if not listens else None
            except OSError:  # it was reset
                found.add(link)
            else:
                if port in ports:
                    found.add(link)
    return found


class TestFakes:
    """Provider tests fake the wire with `responses`."""

    @pytest.fixture(autouse=True)
    def no_exceptions(self, settings: Any) -> None:
        settings.MOBIUS_OUTBOUND_ALLOW = []

    @responses.activate
    def test_a_fake_answer_reads_like_a_real_one_and_sees_the_real_request(self) -> None:
        responses.post(
            "https://api.clay.com/v3/hook?a=b",
            json={"ok": True},
            status=429,
            headers={"Retry-After": "3"},
            match=[
                responses.matchers.header_matcher({"x-clay-webhook-auth": "token", "Content-Type": "application/json"})
            ],
        )

        exchange = send("https://api.clay.com/v3/hook?a=b", b'{"a":1}')

        assert (exchange.request_began, exchange.status, exchange.failure) == (True, 429, None)
        assert exchange.headers["retry-after"] == "3"
        assert json.loads(exchange.body) == {"ok": True}
        assert responses.calls[0].request.body == b'{"a":1}'

    @responses.activate
    def test_the_stages_of_a_fake_are_those_that_it_shows(self) -> None:
        responses.post("https://api.clay.com/", body="OK")
        stages: list[Stage] = []

        exchange = send("https://api.clay.com/", on_stage=stages.append)

        assert exchange.accepted
        assert stages == [Stage.ANSWERED, Stage.ACCEPTED]

    @responses.activate
    @pytest.mark.parametrize(
        ("error", "failure"),
        [
            (requests.ConnectionError("https://api.clay.com/secret"), Failure.CONNECT),
            (requests.ReadTimeout("secret"), Failure.TIMEOUT),
            (ConnectionResetError("secret"), Failure.CONNECT),
        ],
    )
    def test_a_fake_error_ends_in_an_exchange(self, error: Exception, failure: Failure) -> None:
        responses.post("https://api.clay.com/", body=error)

        exchange = send("https://api.clay.com/")

        assert (exchange.request_began, exchange.status, exchange.failure) == (False, None, failure)

    @responses.activate
    def test_the_rules_for_addresses_and_headers_hold_before_a_fake_too(self) -> None:
        assert send("https://10.0.0.1/").failure is Failure.UNREACHABLE
        assert send("https://api.clay.com/", headers={"Host": "x"}).failure is Failure.WITHHELD
        assert len(responses.calls) == 0
