"""The rules of Clay's webhook endpoint, as the simulator keeps them: what is accepted, what is refused and how."""

from __future__ import annotations

import json
import threading
import time
import urllib.parse
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from .simulated_http import Answer, Request

PREFIX = "/v3/sources/webhook/"
LARGEST_BODY = 102_400  # bytes
RECORD_LIMIT_TEXT = b"Record limit reached for webhook"
ROWS_KEPT = 200_000  # in memory; the log file and the counts have no such end


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """How to answer one request. The default is to behave as Clay does."""

    slow: float = 0.0  # seconds before the answer
    drip: float = 0.0  # seconds before each byte of the answer
    fail: int | None = None  # answer with this status instead of judging the request
    reset: bool = False  # read the request, then reset the connection without an answer
    close: bool = False  # reset the connection before reading
    keep_row: bool | None = None  # whether `fail` and `reset` keep the row; None: reset does, fail does not
    body: bytes | None = None  # the answer's body instead of the usual one
    headers: tuple[tuple[str, str], ...] = ()  # added to the answer

    @property
    def plain(self) -> bool:
        """Whether the answer goes out as it is, at once."""
        return not (self.slow or self.drip or self.reset or self.headers) and self.body is None


@dataclass(frozen=True, kw_only=True)
class Options(Behaviour):
    """Everything that can be chosen about a simulator. The inherited switches hold for every request."""

    host: str = "127.0.0.1"
    port: int = 0  # 0: a free one
    token: str = ""  # "": none is asked for
    limit: int | None = 50_000  # rows that one source accepts in its life; None: passthrough, no limit
    unpaced: bool = False
    rate_per_second: float = 10.0  # of the workspace: all sources share it
    burst: int = 20
    answer: str = "text"  # or "json"
    trouble: float = 0.0  # the share of rows that meet a fault, a reset or a slow answer
    seed: int = 0  # of the dice that choose them
    callbacks: bool = False  # post to each row's `callback_url`
    callback_delay: float = 1.0  # seconds after the row's arrival
    callback_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    log: Path | None = None  # a JSONL file; a row stands in it before its answer goes out


@dataclass(frozen=True, slots=True)
class Row:
    """One accepted row."""

    at: float  # time.time() of its arrival
    source: str  # the last part of the webhook's URL
    body: Any  # the posted JSON
    headers: Mapping[str, str]  # of the request, names in lower case

    def as_json(self) -> dict[str, Any]:
        return {"at": self.at, "source": self.source, "row": self.body}


class Refused(Exception):
    """The request makes no row; `answer` says why."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def json_answer(status: int, body: Any, *headers: tuple[str, str]) -> Answer:
    return Answer(status=status, body=json.dumps(body).encode(), content_type="application/json", headers=headers)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


ACCEPTED = {"text": Answer(), "json": json_answer(200, {"success": True})}
DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


class Endpoint:
    """One Clay workspace: its webhook sources, their rows and their shared pace.

    Requests come from the event loop's thread; everything else may be asked from any thread.
    """

    def __init__(self, options: Options, on_accepted: Callable[[Row], None]) -> None:
        self.options = options
        self.on_accepted = on_accepted
        self.coming: deque[Behaviour] = deque()  # for the next requests, before the options' own
        self.mood: Callable[[], Behaviour | None] = lambda: None  # asked when none is coming
        self.rows: deque[Row] = deque(maxlen=ROWS_KEPT)
        self.changed = threading.Condition()  # guards the rows and the counts
        self.accepted: Counter[str] = Counter()  # by source
        self.statuses: Counter[str] = Counter()
        self.requests = 0
        self.arrivals: tuple[float, float] | None = None  # the first and the last
        self.last_second: deque[float] = deque()
        self.most_in_a_second = 0
        self.tokens = float(options.burst)
        self.refilled_at = time.monotonic()
        self.log: BinaryIO | None = None  # unbuffered

    def slams(self) -> bool:
        if self.coming and self.coming[0].close:
            self.coming.popleft()
        elif self.coming or not self.options.close:
            return False
        with self.changed:
            self.statuses["closed"] += 1
        return True

    def answer(self, request: Request) -> Answer:
        if request.method == "GET" and request.path in ("/rows", "/stats"):
            return self._tell(request)
        behaviour = self.coming.popleft() if self.coming else self.mood() or self.options
        answer = self._judge(request, behaviour)
        with self.changed:
            self.requests += 1
            self.statuses["reset" if answer.reset else str(answer.status)] += 1
        return answer

    def stats(self) -> dict[str, Any]:
        """Counts since the start; `max_rows_per_second` is the most in any stretch of one second."""
        with self.changed:
            first, last = self.arrivals or (None, None)
            return {
                "requests": self.requests,
                "accepted": self.accepted.total(),
                "by_status": dict(self.statuses),
                "by_source": dict(self.accepted),
                "first_arrival": first,
                "last_arrival": last,
                "max_rows_per_second": self.most_in_a_second,
            }

    def _tell(self, request: Request) -> Answer:
        if request.path == "/stats":
            return json_answer(200, self.stats())
        query = dict(urllib.parse.parse_qsl(request.query))
        limit = query.get("limit", "1000")
        if not (limit.isascii() and limit.isdigit()):
            return json_answer(400, {"type": "BadRequest", "message": "limit is a number", "details": None})
        with self.changed:
            rows = [row for row in self.rows if row.source == query.get("source", row.source)]
        return json_answer(200, [row.as_json() for row in rows[max(len(rows) - int(limit), 0) :]])

    def _judge(self, request: Request, behaviour: Behaviour) -> Answer:
        if behaviour.close:
            return Answer(reset=True)
        keep_row = behaviour.keep_row if behaviour.keep_row is not None else behaviour.fail is None
        try:
            answer = self._accept(request) if keep_row else ACCEPTED[self.options.answer]
        except Refused as refused:
            answer = refused.answer
        if behaviour.fail is not None:
            answer = Answer(status=behaviour.fail, body=b"Simulated failure")
        return answer if behaviour.plain else _spoiled(answer, behaviour)

    def _accept(self, request: Request) -> Answer:
        """Keep the row that `request` brings. Raises Refused."""
        source = self._source(request)
        self._take_token()
        self._check_token(request)
        body = self._read(request)
        limit = self.options.limit
        if limit is not None and self.accepted[source] >= limit:
            raise Refused(Answer(status=403, body=RECORD_LIMIT_TEXT))
        self._keep(Row(request.at, source, body, request.headers))
        return ACCEPTED[self.options.answer]

    def _source(self, request: Request) -> str:
        source = request.path.removeprefix(PREFIX)
        if request.method != "POST" or source == request.path or not source or "/" in source:
            raise Refused(json_answer(404, {"type": "NotFound", "message": "Not found", "details": None}))
        return source

    def _take_token(self) -> None:
        # Every request counts, also one that is refused for another reason: the limit is on requests.
        options, now = self.options, time.monotonic()
        self.tokens = min(float(options.burst), self.tokens + (now - self.refilled_at) * options.rate_per_second)
        self.refilled_at = now
        if options.unpaced:
            return
        if self.tokens < 1:
            told = {"type": "TooManyRequests", "message": "Rate limit exceeded", "details": None}
            raise Refused(json_answer(429, told, ("Retry-After", "1")))
        self.tokens -= 1

    def _check_token(self, request: Request) -> None:
        if self.options.token and request.headers.get("x-clay-webhook-auth") != self.options.token:
            told = {"type": "Unauthorized", "message": "Missing or wrong webhook token", "details": None}
            raise Refused(json_answer(401, told))

    def _read(self, request: Request) -> Any:
        """The request's JSON. Raises Refused."""
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise Refused(_bad_request("Content-Type must be application/json"))
        if len(request.body) > LARGEST_BODY:
            raise Refused(json_answer(413, {"type": "PayloadTooLarge", "message": "Over 100 KB", "details": None}))
        try:
            return DECODER.decode(request.body.decode())
        except (ValueError, RecursionError):
            raise Refused(_bad_request("The body is not valid JSON")) from None

    def _keep(self, row: Row) -> None:
        if self.log is not None:
            self.log.write(json.dumps(row.as_json()).encode() + b"\n")
        with self.changed:
            self.rows.append(row)
            self.accepted[row.source] += 1
            self.arrivals = (self.arrivals[0] if self.arrivals else row.at, row.at)
            self.last_second.append(row.at)
            while self.last_second[0] <= row.at - 1:
                self.last_second.popleft()
            self.most_in_a_second = max(self.most_in_a_second, len(self.last_second))
            self.changed.notify_all()
        self.on_accepted(row)


def _bad_request(message: str) -> Answer:
    return json_answer(400, {"type": "BadRequest", "message": message, "details": None})


def _spoiled(answer: Answer, behaviour: Behaviour) -> Answer:
    """`answer` as `behaviour` wants it given."""
    return Answer(
        status=answer.status,
        body=answer.body if behaviour.body is None else behaviour.body,
        content_type=answer.content_type,
        headers=answer.headers + behaviour.headers,
        delay_seconds=behaviour.slow,
        drip_seconds=behaviour.drip,
        reset=behaviour.reset,
    )
