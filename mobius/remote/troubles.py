"""What can go wrong between a command and a console, in sentences that say what to do. Exit code 1."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from mobius.remote.place import Place
from mobius.remote.printing import plain

if TYPE_CHECKING:
    from email.message import Message

    Headers = Message[str, str]
    """Of an answer; their names may be in any case."""

_PASSING = (429, 502, 503, 504)


class Trouble(click.ClickException):
    """The command could not do what it was asked. `passes`: the same request may succeed in a moment."""

    passes = False
    retry_after: float | None = None  # seconds; None: nobody said

    def __init__(self, *lines: str) -> None:
        self.lines = [plain(line) for line in lines if line]
        super().__init__(self.lines[0])

    def format_message(self) -> str:
        return "\n".join(self.lines)


class Refused(Trouble):
    """The console answered with an error."""

    def __init__(self, status: int, headers: Headers, error: Mapping[str, Any], place: Place) -> None:
        self.status = status
        self.code = str(error.get("code", ""))
        found = error.get("details")
        self.details: dict[str, Any] = found if isinstance(found, dict) else {}
        self.passes = status in _PASSING
        self.retry_after = _seconds(headers.get("Retry-After", ""))
        fields = _field_lines(self.details)
        said = "The request was refused." if fields else str(error.get("message") or "The console gave no reason.")
        number = headers.get("X-Request-ID", "")
        super().__init__(
            f"{said} ({status} {self.code})",
            *fields,
            self._advice(place),
            f"Request: {number}" if number else "",
        )

    def _advice(self, place: Place) -> str:
        match self.status:
            case 401:
                return (
                    f"The key that begins with {place.key_begins} came from {place.key_from}; {place.url} does not "
                    "take it. Look whether it is whole, revoked or of another console. New ones: Govern › API keys."
                )
            case 403:
                return f"The role of the key from {place.key_from} does not allow this; use one that may."
            case 404:
                return (
                    f"Looked in the project “{place.project}” ({place.project_from}). "
                    "For another: --project or MOBIUS_PROJECT, with a key of it."
                )
            case 429 if self.retry_after is not None:
                return f"Try again in {self.retry_after:g} seconds."
            case status if status >= 500:
                return "Try again in a moment. If it stays so, ask whoever runs the console, and name the request."
        return ""


class NotOurs(Trouble):
    """Something answered that is not the API."""

    def __init__(self, status: int, headers: Headers, body: bytes, place: Place) -> None:
        self.status = status
        self.passes = status in _PASSING
        self.retry_after = _seconds(headers.get("Retry-After", ""))
        if 300 <= status < 400:
            target = headers.get("Location", "another address")
            super().__init__(
                f"{place.url} sends us on to {target} ({status}), and a key is never sent on.",
                "Set MOBIUS_API_URL (or --api-url) to the address that the console really has.",
            )
            return
        kind = headers.get("Content-Type", "").partition(";")[0]
        title = re.search(rb"<title[^>]*>([^<]{1,200})", body, re.IGNORECASE)
        says = f" titled “{title[1].decode(errors='replace').strip()}”" if title else ""
        what = f"a web page{says}" if "html" in kind else kind or "nothing readable"
        super().__init__(
            f"{place.url} answered {status} with {what}, not with the API's JSON.",
            "Either another service has this address, or a proxy answered instead of the console. "
            "Check MOBIUS_API_URL (or --api-url), and HTTPS_PROXY and NO_PROXY.",
        )


class Unreachable(Trouble):
    """No whole answer came. `sent`: the console may have got the request all the same."""

    def __init__(self, error: BaseException, place: Place, *, seconds: float) -> None:
        self.sent = not isinstance(error, ConnectionRefusedError | socket.gaierror | ssl.SSLError)
        self.passes = self.sent and not isinstance(error, TimeoutError)
        super().__init__(*_sentences(error, place, seconds))


def trouble_of(status: int, headers: Headers, body: bytes, place: Place) -> Trouble:
    """What an answer means that is no success."""
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return NotOurs(status, headers, body, place)
    return Refused(status, headers, error, place) if isinstance(error, dict) else NotOurs(status, headers, body, place)


def _sentences(error: BaseException, place: Place, seconds: float) -> list[str]:
    elsewhere = "MOBIUS_API_URL (or --api-url) names another address."
    match error:
        case ConnectionRefusedError():
            return [
                f"Nothing answers at {place.url}: is the console running there?",
                f"`mobius serve` starts one. {elsewhere}",
            ]
        case socket.gaierror():
            return [f"The host of {place.url} is not known, or this machine is offline.", elsewhere]
        case ssl.SSLCertVerificationError():
            return [
                f"The certificate of {place.url} is not trusted: {error.verify_message}.",
                "If your organisation signs its own certificates, set SSL_CERT_FILE to its bundle. If this is not the "
                "console's address, do not use it: your key would be read.",
            ]
        case ssl.SSLError():
            return [f"{place.url} does not speak TLS: is its address http:// and not https://?", elsewhere]
        case TimeoutError():
            plain_http = "Is its address http:// and not https://? " if place.url.startswith("https:") else ""
            return [f"{place.url} did not answer within {seconds:g} seconds.", f"{plain_http}{elsewhere}"]
        case http.client.HTTPException():
            return [f"{place.url} broke off, or does not speak HTTP: is its address https:// and not http://?"]
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return [f"The connection to {place.url} failed: {reason}."]


def _field_lines(details: Mapping[str, Any]) -> list[str]:
    """A line for each field that is wrong."""
    fields = details.get("fields")
    if not isinstance(fields, dict):
        return []
    said = {name: " ".join(map(str, one)) if isinstance(one, list) else str(one) for name, one in fields.items()}
    return [f"  {name}: {sentence}" for name, sentence in said.items()]


def _seconds(text: str) -> float | None:
    return float(text) if re.fullmatch(r"[0-9]{1,6}", text.strip()) else None
