"""One POST to an outside service: bounded in time and size, to public addresses only, once.

The only module that imports requests. We use its adapter, which `responses` fakes in tests, and dial, write and read
ourselves what it would leave to urllib3: sessions, pools, proxies, retries, redirects and cookies bound no answer and
pin no address, and together they cost more than the rest.
Texts of exceptions may hold the URL, which is a credential: they end here and are neither kept nor logged.
"""

from __future__ import annotations

import functools
import http.client
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, cast

from requests import PreparedRequest, Response, Timeout
from requests.adapters import DEFAULT_CA_BUNDLE_PATH, HTTPAdapter
from requests.structures import CaseInsensitiveDict

from integrations.addresses import Target, UnsafeUrl, read_url, resolve
from integrations.answers import BoundedAnswer, HeadTooLarge, read_body
from integrations.deadlines import WATCHDOG, Watch, connect
from integrations.headers import InvalidHeader, check_headers
from integrations.providers.contract import Exchange, Failure, OutgoingRequest, Stage

CONNECT_SECONDS = 5.0


def always() -> bool:
    return True


def nothing(_stage: Stage) -> None:
    pass


def post(
    request: OutgoingRequest,
    *,
    own_headers: Mapping[str, str] | None = None,
    timeout_seconds: float = 20.0,
    may_begin: Callable[[], bool] = always,
    on_stage: Callable[[Stage], None] = nothing,
) -> Exchange:
    """POST once; whatever the network does, the outcome is an Exchange and never an exception.

    `timeout_seconds` covers everything but the look-up of the name: at most 5 of them to connect, then TLS, sending
    and reading. Keeps at most 64 KiB of the answer, follows no redirect, retries nothing.
    `own_headers` are ours, beyond those that a project may choose, and need no check.
    `may_begin` is asked immediately before the first byte of the request; when it says no, nothing is sent.
    `on_stage` hears how far the exchange got.
    """
    started = time.monotonic()
    attempt = _Attempt(started + timeout_seconds, may_begin, on_stage)
    headers: dict[str, str] = {}
    body, failure = b"", None
    try:
        response = _ADAPTER.send(_prepare(request, own_headers or {}, attempt), stream=True)
        attempt.answered(response)
        headers = {name.lower(): value for name, value in response.headers.items()}
        body, failure = attempt.read(response, headers)
    except _Ended as ended:
        failure = ended.failure
    except UnsafeUrl:
        failure = Failure.UNREACHABLE
    except InvalidHeader:
        failure = Failure.WITHHELD
    except OSError as error:  # requests' own are OSErrors; our transport lets none through, a fake in its place does
        failure = Failure.TIMEOUT if isinstance(error, Timeout) else Failure.CONNECT
    finally:
        attempt.close()
    exchange = Exchange(
        request_began=attempt.began,
        status=attempt.status,
        headers=headers,
        body=body,
        failure=failure,
        latency_ms=int((time.monotonic() - started) * 1000),
    )
    if exchange.status is not None:
        on_stage(Stage.ANSWERED)
    if exchange.accepted:
        on_stage(Stage.ACCEPTED)
    return exchange


class _Ended(Exception):
    """The attempt is over, for this reason. No OSError: requests would wrap that and hide what it says."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


class _Attempt:
    """What one call knows: its deadline, how far it got, and what it must close."""

    def __init__(self, deadline: float, may_begin: Callable[[], bool], on_stage: Callable[[Stage], None]) -> None:
        self.deadline = deadline
        self.may_begin = may_begin
        self.on_stage = on_stage
        self.began = False
        self.status: int | None = None
        self._watch: Watch | None = None
        self._to_close: list[Any] = []

    def dial(self, target: Target) -> socket.socket:
        """A connection to one of the addresses just judged, and to no other. Raises _Ended and UnsafeUrl."""
        addresses = resolve(target)
        self.on_stage(Stage.ADDRESS)
        try:
            return connect(addresses, seconds=CONNECT_SECONDS, deadline=self.deadline)
        except TimeoutError:
            raise _Ended(Failure.CONNECT_TIMEOUT) from None
        except OSError:
            raise _Ended(Failure.CONNECT) from None

    def watch(self, sock: socket.socket) -> None:
        self._watch = WATCHDOG.watch(sock, self.deadline)

    def begin(self) -> None:
        """Called immediately before the first byte of the request. From here on a row may exist on the far side."""
        if time.monotonic() >= self.deadline:
            raise _Ended(Failure.TIMEOUT)
        if not self.may_begin():
            raise _Ended(Failure.WITHHELD)
        self.began = True

    def note_status(self, status: int) -> None:
        self.status = status

    def answered(self, response: Response) -> None:
        """There is an answer, so the request began: also when a fake gave it and no transport was there to note it."""
        self.began, self.status = True, response.status_code

    def read(self, response: Response, headers: Mapping[str, str]) -> tuple[bytes, Failure | None]:
        if headers.get("content-encoding", "identity").lower() not in ("", "identity"):
            return b"", Failure.BAD_ANSWER  # we asked for none, and unpacking is how 64 KiB become 300 MB
        body, failure = read_body(response.raw)
        if failure is not Failure.TOO_LARGE and self.cut_off():
            failure = Failure.TIMEOUT
        return body, failure

    def cut_off(self) -> bool:
        """Whether our own deadline ended the connection, which otherwise looks like the far side's doing."""
        return self._watch is not None and self._watch.fired

    def why(self, error: Exception, otherwise: Failure) -> Failure:
        return Failure.TIMEOUT if self.cut_off() or isinstance(error, TimeoutError) else otherwise

    def owns(self, held: socket.socket | BoundedAnswer) -> None:
        self._to_close.append(held)

    def close(self) -> None:
        if self._watch is not None:
            WATCHDOG.release(self._watch)
        for held in self._to_close:
            with suppress(OSError):  # a broken connection may complain once more
                held.close()


class _Prepared(PreparedRequest):
    """A request that knows its attempt, so that one adapter serves all threads."""

    attempt: _Attempt
    target: Target


def _prepare(request: OutgoingRequest, own_headers: Mapping[str, str], attempt: _Attempt) -> _Prepared:
    """Raises UnsafeUrl and InvalidHeader: what is stored may be older than the rules."""
    prepared = _Prepared()
    prepared.attempt = attempt
    prepared.target = read_url(request.url)
    prepared.method = "POST"
    prepared.url = prepared.target.url
    prepared.body = request.body
    prepared.headers = CaseInsensitiveDict(
        {
            "Host": prepared.target.authority,
            "Accept-Encoding": "identity",
            "User-Agent": "mobius-console",
            "Content-Type": "application/json",
        }
    )
    prepared.headers.update(check_headers(request.headers))
    prepared.headers.update(own_headers)
    prepared.headers["Content-Length"] = str(len(request.body))
    prepared.headers["Connection"] = "close"
    return prepared


class _Adapter(HTTPAdapter):
    """`send` stays requests' own, because that is what `responses` replaces; the parts that it calls are ours."""

    def get_connection_with_tls_context(self, request: PreparedRequest, *_: Any, **__: Any) -> Any:
        return _OneShot(cast(_Prepared, request))

    def cert_verify(self, *_: Any, **__: Any) -> None:
        """Nothing to set: `_tls_context` always verifies."""

    def request_url(self, request: PreparedRequest, *_: Any, **__: Any) -> str:
        return cast(_Prepared, request).target.path

    def build_response(self, req: PreparedRequest, resp: Any) -> Response:
        """Status, headers and the body yet unread; no cookies, no guesses at an encoding."""
        response = Response()
        response.status_code = resp.status
        response.headers = CaseInsensitiveDict(resp.headers.items())
        response.raw = resp
        response.request, response.url = req, req.url or ""
        return response


_ADAPTER = _Adapter(max_retries=0)


class _OneShot:
    """Stands where requests expects a pool: one connection, for one request."""

    def __init__(self, request: _Prepared) -> None:
        self._attempt = request.attempt
        self._target = request.target

    def urlopen(self, *, method: str, url: str, body: bytes, headers: Mapping[str, str], **_: Any) -> BoundedAnswer:
        """The answer, its head read. Raises _Ended and UnsafeUrl, and what the caller's own functions raise."""
        sock = self._connected()
        self._attempt.on_stage(Stage.CONNECTED)
        lines = [f"{method} {url} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        if self._sent(sock, "\r\n".join(lines).encode("ascii") + body):
            self._attempt.on_stage(Stage.SENT)
        return self._answer(sock)

    def _connected(self) -> socket.socket:
        """To an address just judged. Name in TLS and certificate stay those of the target."""
        sock = self._attempt.dial(self._target)
        self._attempt.owns(sock)
        if self._target.scheme != "https":
            self._attempt.watch(sock)
            return sock
        try:
            # It takes the descriptor over, and closes it when it fails; only then can it be watched.
            secured = _tls_context().wrap_socket(sock, server_hostname=self._target.host, do_handshake_on_connect=False)
            self._attempt.owns(secured)
            self._attempt.watch(secured)
            secured.do_handshake()
        except OSError as error:
            raise _Ended(self._attempt.why(error, Failure.TLS)) from None
        return secured

    def _sent(self, sock: socket.socket, request: bytes) -> bool:
        """Head and body in one write: a packet and a switch of threads less than two."""
        self._attempt.begin()
        try:
            sock.sendall(request)
        except OSError as error:
            if self._attempt.why(error, Failure.RESET) is Failure.TIMEOUT:
                raise _Ended(Failure.TIMEOUT) from None
            return False  # whoever hangs up half-way may have said why
        return True

    def _answer(self, sock: socket.socket) -> BoundedAnswer:
        answer = BoundedAnswer(sock, self._attempt.note_status)
        self._attempt.owns(answer)
        try:
            answer.begin()
        except OSError as error:
            raise _Ended(self._attempt.why(error, Failure.RESET)) from None
        except http.client.HTTPException as error:
            large = isinstance(error, HeadTooLarge | http.client.LineTooLong)
            raise _Ended(self._attempt.why(error, Failure.TOO_LARGE if large else Failure.BAD_ANSWER)) from None
        return answer


@functools.cache
def _tls_context() -> ssl.SSLContext:
    """Verifies certificate and name. Made once: reading the bundle takes longer than a call.

    Not `create_default_context`, which obeys SSLKEYLOGFILE of the environment.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    context.set_alpn_protocols(["http/1.1"])
    context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    return context
