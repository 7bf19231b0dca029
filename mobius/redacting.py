"""Taking secrets out of what is written for people: log lines, tracebacks, error pages, mails, error trackers.

Known by their form are our keys, the addresses of callbacks and HTTP triggers, bearer credentials, ciphertexts and
signing secrets. A webhook's address and header have no form of their own: those that this process has handled are
remembered, and removed to the letter. Nothing here is a licence to log a secret; it is for the day when somebody does.
"""

from __future__ import annotations

import html
import json
import logging
import re
import sys
import threading
import traceback
from collections import OrderedDict
from collections.abc import Iterable
from types import TracebackType
from urllib.parse import urlsplit

REMOVED = "[removed]"
HIDDEN_LENGTH = 4
"""What is shorter, such as the value `1`, stands in every text: removing it would hide nothing, and ruin the log."""
TELLING_LENGTH = 8
"""Shorter parts of a secret stand in many an honest text."""

_SLASH = r"(?:/|\\/|%2[Ff])"
_FORMS = (
    (re.compile(r"mbx_[A-Za-z0-9_-]{5,}"), f"mbx_{REMOVED}"),  # an eight-character prefix is no secret
    (
        re.compile(rf"({_SLASH}(?:callbacks|triggers{_SLASH}http){_SLASH})[A-Za-z0-9_-]{{{TELLING_LENGTH},}}"),
        rf"\1{REMOVED}",
    ),
    (re.compile(r"\b(bearer\s+)[^\s'\"<>&,;]{8,}", re.IGNORECASE), rf"\1{REMOVED}"),
    (re.compile(r"gAAAA[A-Za-z0-9_=-]{16,}"), REMOVED),
    (re.compile(r"whsec_[A-Za-z0-9+/=_-]+"), f"whsec_{REMOVED}"),
)


class Memory:
    """The latest secrets of one kind that this process has handled, in every spelling that a text may hold."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._guard = threading.Lock()
        self._known: OrderedDict[str, None] = OrderedDict()
        self._spellings: list[str] | None = []  # None: to be made anew

    def add(self, secrets: Iterable[str]) -> None:
        with self._guard:
            for secret in secrets:
                if secret not in self._known:
                    self._spellings = None
                self._known[secret] = None
                self._known.move_to_end(secret)
            while len(self._known) > self._most:
                self._known.popitem(last=False)
                self._spellings = None

    def removed_from(self, text: str) -> str:
        for spelling in self._longest_first():
            if spelling in text:
                text = text.replace(spelling, REMOVED)
        return text

    def _longest_first(self) -> list[str]:
        """Where one secret is the beginning of another, the rest of the other must not stay."""
        with self._guard:
            if self._spellings is None:
                written = {spelling for secret in self._known for spelling in _spellings(secret)}
                self._spellings = sorted(written, key=len, reverse=True)
            return self._spellings


def _spellings(secret: str) -> set[str]:
    quoted = json.dumps(secret)[1:-1]
    return {secret, secret.replace("/", "\\/"), quoted, repr(secret)[1:-1], html.escape(secret)}


_webhooks = Memory(1_000)


def remember(url: str, header_value: str = "") -> None:
    """Remove what opens this webhook, and its telling parts, from everything that is written from now on."""
    _webhooks.add(parts_of(url, header_value))


def parts_of(url: str, header_value: str = "") -> list[str]:
    """An address and a header's value, then the parts that tell them: a 404 often quotes the path alone."""
    address = urlsplit(url)
    path_and_query = f"{address.path}?{address.query}" if address.query else address.path
    token = header_value.rpartition(" ")[2]  # without the word Bearer
    telling = [part for part in (path_and_query, address.path, token) if len(part) >= TELLING_LENGTH]
    return [secret for secret in (url, header_value) if len(secret) >= HIDDEN_LENGTH] + telling


def redact(text: str) -> str:
    """`text` without any secret that we know, by its form or to the letter."""
    for form, instead in _FORMS:
        text = form.sub(instead, text)
    return _webhooks.removed_from(text)


class RedactingFilter(logging.Filter):
    """Stands at every handler, since a logger's own filter does not see what its children log."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)  # formatters take this for the traceback
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True


def redact_tracebacks() -> None:
    """What ends a process or a thread is printed by Python itself, past every log: redact that too."""

    def print_redacted(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
        if not issubclass(kind, SystemExit):
            sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))

    sys.excepthook = print_redacted
    threading.excepthook = lambda ended: print_redacted(ended.exc_type, ended.exc_value, ended.exc_traceback)
