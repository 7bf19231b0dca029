"""A Clay that stands where `integrations.outbound.post` is called: it counts rows, and answers as it is told.

Here the rules are proven, not the wire; tests/integrations has the wire, over real sockets.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from integrations.providers.contract import Exchange, Failure, OutgoingRequest

LIMIT_TEXT = b"Record limit reached for webhook"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One way for an exchange to end (design §4, the table): whether the row arrived, and what the sender learns."""

    row: bool
    exchange: Exchange
    seconds: float = 0.1


def _said(status: int, *, body: bytes = b"x", **fields: Any) -> Exchange:
    return Exchange(request_began=True, status=status, body=body, **fields)


def _silent(failure: Failure, *, began: bool = True) -> Exchange:
    return Exchange(request_began=began, failure=failure)


ANSWERS: dict[str, Answer] = {
    "accepted": Answer(row=True, exchange=_said(200, body=b"OK")),
    "accepted, unreadable": Answer(row=True, exchange=_said(202, body=b"", failure=Failure.TOO_LARGE)),
    "refused connection": Answer(row=False, exchange=_silent(Failure.CONNECT, began=False)),
    "no such name": Answer(row=False, exchange=_silent(Failure.UNREACHABLE, began=False)),
    "connect time-out": Answer(row=False, exchange=_silent(Failure.CONNECT_TIMEOUT, began=False), seconds=5),
    "429": Answer(row=False, exchange=_said(429, headers={"retry-after": "30"})),
    "302": Answer(row=False, exchange=_said(302)),
    "400": Answer(row=False, exchange=_said(400)),
    "401": Answer(row=False, exchange=_said(401)),
    "404": Answer(row=False, exchange=_said(404)),
    "403 at the limit": Answer(row=False, exchange=_said(403, body=LIMIT_TEXT)),
    "500, no row": Answer(row=False, exchange=_said(500)),
    "502 after the row": Answer(row=True, exchange=_said(502)),
    "400, unreadable": Answer(row=True, exchange=_said(400, body=b"", failure=Failure.RESET)),
    "time-out, no row": Answer(row=False, exchange=_silent(Failure.TIMEOUT), seconds=20),
    "time-out after the row": Answer(row=True, exchange=_silent(Failure.TIMEOUT), seconds=20),
    "reset, no row": Answer(row=False, exchange=_silent(Failure.RESET)),
    "reset after the row": Answer(row=True, exchange=_silent(Failure.RESET)),
    "nonsense": Answer(row=True, exchange=_silent(Failure.BAD_ANSWER)),
}


@dataclass(frozen=True, kw_only=True)
class ArrivedRow:
    """A row in the table, and the attempt that brought it."""

    attempt_id: str
    step_id: str
    url: str
    body: dict[str, Any]

    @property
    def request_id(self) -> str:
        return str(self.body.get("request_id", ""))

    @property
    def callback_token(self) -> str:
        """ "" when the row asks for no callback."""
        return str(self.body.get("callback_url", "")).rpartition("/")[2]


@dataclass
class FakeClay:
    rows: list[ArrivedRow] = field(default_factory=list)

    def take(self, request: OutgoingRequest, *, attempt_id: str, step_id: str) -> None:
        body = json.loads(request.body)
        self.rows.append(ArrivedRow(attempt_id=attempt_id, step_id=step_id, url=request.url, body=body))
