"""An API that answers what a test has written down, over a real loopback socket, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from click.testing import CliRunner, Result

from mobius.cli import main

KEY = "mbx_abcdefgh12345678"


@dataclass(frozen=True, kw_only=True)
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True, kw_only=True)
class Says:
    """One answer. `cut_off`: the connection breaks after the body, which has announced more."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_off: bool = False

    @property
    def bytes(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


HANGS_UP = Says(status=0)


class Console:
    """The answers, in the order in which they are asked for; the last one stays."""

    def __init__(self, *answers: Says) -> None:
        self.answers = list(answers)
        self.asked: list[Asked] = []
        self.url = ""

    def next_answer(self) -> Says:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def mobius(self, *arguments: str, input: str | bytes | None = None, **environment: str | None) -> Result:
        """What a command prints and how it ends, with this console and a key in its environment."""
        places = {"MOBIUS_API_URL": self.url, "MOBIUS_API_KEY": KEY, "MOBIUS_PROJECT": None}
        return CliRunner(env=places | environment).invoke(main, list(arguments), input=input)


@contextmanager
def console(*answers: Says) -> Iterator[Console]:
    script = Console(*answers)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(script))
    script.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(script: Console) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            body = (json.loads(raw) if "json" in self.headers.get("Content-Type", "") else raw) if length else None
            script.asked.append(Asked(method=self.command, path=self.path, headers=self.headers, body=body))
            said = script.next_answer()
            if said is HANGS_UP:
                return
            self.send_response(said.status)
            for name, value in ({"Content-Type": "application/json"} | dict(said.headers)).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(said.bytes) + 10 * said.cut_off))
            self.end_headers()
            self.wfile.write(said.bytes)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler


def refusal(status: int, code: str, message: str, details: Any = None, **headers: str) -> Says:
    error = {"code": code, "message": message} | ({"details": details} if details else {})
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Says(status=status, body={"error": error}, headers={"X-Request-ID": "req_1"} | given)


def page(*items: Any, cursor: str = "") -> Says:
    body = {"items": list(items), "has_more": bool(cursor)} | ({"next_cursor": cursor} if cursor else {})
    return Says(body=body)


RUN = {
    "id": "run_1",
    "loop_id": "loop_1",
    "loop_version": 1,
    "loop_name": "push-lead",
    "status": "queued",
    "created_at": "2026-11-28T09:30:05.123Z",
}

__all__ = ["HANGS_UP", "KEY", "RUN", "Asked", "Console", "Says", "console", "page", "refusal"]
