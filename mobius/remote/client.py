"""Speaking HTTP with a console: one request, its answer, or a Trouble that says what to do."""

from __future__ import annotations

import http.client
import io
import json
import os
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import IO, Any
from urllib.parse import quote, urlencode, urlsplit

import click

from mobius.remote.place import Place
from mobius.remote.troubles import NotOurs, Refused, Trouble, Unreachable, trouble_of

PATIENCE_SECONDS = 30.0
_PAUSES = (1.0, 2.0, 4.0)  # as Mobius's own clients (mobius-contract §1.1)
_LONGEST_PAUSE = 60.0
_PIECE_BYTES = 65_536
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_UNKNOWN = "Whether the console has done it is not known: look before you ask for it again."
_SOURCE = {"type": "api", "id": "mobius-cli", "label": "mobius runs start"}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A success. `text` is the body as it came."""

    text: str
    json: Any


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The key is for the address that was given, and for no other."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Client:
    """The API of one console, about one project."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def in_project(self, *names: str) -> str:
        """The path of what `names` lead to in the project."""
        return "/".join(["/v1/projects", *(quote(name, safe="") for name in (self.place.project, *names))])

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Answer:
        """Asks again, up to three times, when the console is busy or the connection breaks. Raises Trouble."""
        asked = urlencode({name: value for name, value in (query or {}).items() if value not in (None, "")})
        return self._until_it_passes("GET", f"{path}?{asked}" if asked else path)

    def write(self, method: str, path: str, body: Any = None, *, seconds: float = PATIENCE_SECONDS) -> Answer:
        """Asks once, because twice could do it twice. Raises Trouble."""
        try:
            return self._once(method, path, body, seconds=seconds)
        except Unreachable as trouble:
            if trouble.sent:
                trouble.lines.append(_UNKNOWN)
            raise

    def upload(self, path: str, query: Mapping[str, Any], file: IO[bytes], *, seconds: float) -> Answer:
        """Send a file of rows as it is, once; what comes through a pipe is read first. Raises Trouble."""
        if not file.seekable():
            file = io.BytesIO(file.read())
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        headers = {"Accept": "application/json", "Content-Type": "text/csv", "Content-Length": str(size)}
        return self._asked("POST", f"{path}?{urlencode(query)}", file, headers, seconds)

    def pieces(self, path: str) -> Iterator[bytes]:
        """The file that `path` gives, whole. Raises Trouble."""
        try:
            with self._open("GET", path, None, {}, PATIENCE_SECONDS) as response:
                while piece := response.read(_PIECE_BYTES):
                    yield piece
                if response.length:  # a piece that is cut off is no error to http.client
                    raise http.client.IncompleteRead(b"", response.length)
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(_cause(error), self.place, seconds=PATIENCE_SECONDS) from None

    def start(self, loop: str, body: Mapping[str, Any]) -> Answer:
        """Start a run, once: asked again, the same key gives the same run. Raises Trouble.

        A start without an idempotency key gets one of its own.
        """
        key = str(body.get("idempotency_key") or "") or f"cli:{uuid.uuid4().hex}"
        wanted = {"source": _SOURCE} | dict(body) | {"idempotency_key": key}
        try:
            return self._until_it_passes("POST", self.in_project("loops", loop, "runs"), wanted)
        except Refused as trouble:
            # Nobody else has our own key: the run was started by an earlier try, and has ended meanwhile.
            if trouble.code == "idempotency_key_conflict" and key != body.get("idempotency_key"):
                return self.get(self.in_project("runs", str(trouble.details.get("run_id"))))
            raise
        except Unreachable as trouble:
            if trouble.sent:
                trouble.lines.append(
                    f"Whether the run was started is not known. Ask again with --idempotency-key {key}"
                )
            raise

    @contextmanager
    def stream(self, path: str, *, after: int, seconds: float) -> Iterator[Iterator[bytes]]:
        """The lines of an event stream after an event. Raises Trouble, also when it falls silent for `seconds`."""
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": str(after)} if after else {})
        try:
            with self._open("GET", path, None, headers, seconds) as response:
                if response.headers.get_content_type() != "text/event-stream":
                    raise NotOurs(response.status, response.headers, response.read(2000), self.place)
                yield iter(response)
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(_cause(error), self.place, seconds=seconds) from None

    def _until_it_passes(self, method: str, path: str, body: Any = None) -> Answer:
        for pause in (*_PAUSES, None):
            try:
                return self._once(method, path, body, seconds=PATIENCE_SECONDS)
            except Trouble as trouble:
                wait = pause if trouble.retry_after is None else trouble.retry_after
                if pause is None or not trouble.passes or wait is None or wait > _LONGEST_PAUSE:
                    raise
                click.echo(f"{trouble.lines[0]} Asking again in {wait:g} s …", err=True)
                time.sleep(wait)
        raise AssertionError("the last pause is none")

    def _once(self, method: str, path: str, body: Any, *, seconds: float) -> Answer:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        return self._asked(method, path, None if body is None else json.dumps(body).encode(), headers, seconds)

    def _asked(self, method: str, path: str, data: Any, headers: dict[str, str], seconds: float) -> Answer:
        try:
            with self._open(method, path, data, headers, seconds) as response:
                raw: bytes = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(_cause(error), self.place, seconds=seconds) from None
        try:
            return Answer(text=raw.decode(), json=json.loads(raw) if raw else None)
        except ValueError:
            raise NotOurs(response.status, response.headers, raw, self.place) from None

    def _open(self, method: str, path: str, data: Any, headers: dict[str, str], seconds: float) -> Any:
        sent = headers | {"Authorization": f"Bearer {self.place.key}", "User-Agent": "mobius-cli"}
        # The address is http or https: find_place has looked.
        request = urllib.request.Request(self.place.url + path, data=data, headers=sent, method=method)  # noqa: S310
        try:
            return self._opener.open(request, timeout=seconds)
        except urllib.error.HTTPError as error:
            with error:
                raise trouble_of(error.code, error.headers, error.read(), self.place) from None

    @cached_property
    def _opener(self) -> urllib.request.OpenerDirector:
        # What stays on this machine goes past every proxy, which would read the key.
        direct = [urllib.request.ProxyHandler({})] if urlsplit(self.place.url).hostname in _LOOPBACK else []
        return urllib.request.build_opener(_NoRedirects, *direct)


def _cause(error: BaseException) -> BaseException:
    """What urllib has wrapped."""
    reason = getattr(error, "reason", None)
    return reason if isinstance(error, urllib.error.URLError) and isinstance(reason, BaseException) else error
