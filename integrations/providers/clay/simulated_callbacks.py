"""Clay's HTTP API column, as the simulator plays it: some time after a row arrived, the enriched row is posted back."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
import urllib.parse
import zlib
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from .simulated_endpoint import Options, Row

RETRIED_STATUSES = frozenset({408, 413, 429})  # Clay's defaults; also a refused, reset or timed-out connection
TRIES = 2  # Clay retries once, at once
TIMEOUT_SECONDS = 10.0
THREADS = 16
HANDED_ON = ("request_id", "external_id", "email", "company_domain")


@dataclass(frozen=True, kw_only=True)
class SentCallback:
    """One callback and what became of it."""

    at: float  # time.time() when it was over
    url: str
    body: dict[str, Any]
    tries: int
    status: int | None  # None: no answer came


class CallbackColumn:
    """Calls back for rows that carry a `callback_url`. Made and closed inside the event loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="simulated-clay-callback")
        self.waiting: set[asyncio.TimerHandle] = set()
        self.sent: deque[SentCallback] = deque(maxlen=10_000)

    def consider(self, row: Row, options: Options) -> None:
        """Call back in `options.callback_delay` seconds, if the row asks for it and callbacks are on."""
        url = row.body.get("callback_url") if isinstance(row.body, dict) else None
        if not (options.callbacks and isinstance(url, str) and url):
            return

        def due() -> None:
            self.waiting.discard(timer)
            self.threads.submit(self._call_back, url, enriched(row.body), dict(options.callback_headers))

        timer = self.loop.call_later(options.callback_delay, due)
        self.waiting.add(timer)

    def close(self) -> None:
        """Drop what has not begun; what is on the wire ends by itself."""
        for timer in self.waiting:
            timer.cancel()
        self.threads.shutdown(wait=False, cancel_futures=True)

    def _call_back(self, url: str, body: dict[str, Any], headers: Mapping[str, str]) -> None:
        self.sent.append(call_back(url, body, headers))


def enriched(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the column posts for `row`: its ids and a made-up enrichment, the same for the same row."""
    body = {name: row[name] for name in HANDED_ON if name in row}
    email = str(row.get("email", ""))
    domain = str(row.get("company_domain") or email.partition("@")[2] or "example.com")
    company = domain.partition(".")[0].replace("-", " ").title()
    body["enriched"] = {"company": company, "domain": domain, "score": zlib.crc32((email or domain).encode()) % 100}
    return body


def call_back(url: str, body: dict[str, Any], headers: Mapping[str, str]) -> SentCallback:
    """POST `body`, with Clay's default retry. Never raises for what the far side does."""
    tries, status, again = 0, None, True
    while again and tries < TRIES:
        tries += 1
        try:
            status = post(url, json.dumps(body).encode(), headers)
            again = status in RETRIED_STATUSES
        except (ConnectionError, TimeoutError):
            status = None
        except (OSError, http.client.HTTPException, ValueError):
            status, again = None, False
    return SentCallback(at=time.time(), url=url, body=body, tries=tries, status=status)


def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """POST once and give the answer's status. Raises OSError, HTTPException, and ValueError for a strange URL."""
    parts = urllib.parse.urlsplit(url)
    made = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = made(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
    target = parts.path or "/"
    try:
        connection.request(
            "POST",
            f"{target}?{parts.query}" if parts.query else target,
            body,
            {"Content-Type": "application/json", "User-Agent": "Clay simulator", **headers},
        )
        with connection.getresponse() as response:
            response.read()
            return response.status
    finally:
        connection.close()
