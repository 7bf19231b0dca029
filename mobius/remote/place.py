"""Which console a command speaks to, with which key, about which project."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import click

HERE = "http://127.0.0.1:8000"
"""Where `mobius serve` listens when nobody says otherwise."""

_NO_KEY = (
    "There is no API key. Set MOBIUS_API_KEY, or give --api-key. A key is made in the console under Govern › API keys, "
    "or on its machine with: mobius key create --project HANDLE --name me --role admin"
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """`key_from` and `project_from` say who named them, for messages."""

    url: str
    key: str = field(repr=False)
    key_from: str
    project: str
    project_from: str

    @property
    def key_begins(self) -> str:
        """As much of the key as the console's own list of keys shows."""
        return f"{self.key[:8]}…"


def find_place(*, url: str | None, key: str | None, project: str | None) -> Place:
    """What the options say, else the environment. Raises UsageError for what cannot be.

    Without any, the project is the one in the key's suffix (`mbx_….HANDLE`), else `default` (mobius-contract §12).
    """
    given, key_from = _first(("--api-key", key), ("MOBIUS_API_KEY", os.environ.get("MOBIUS_API_KEY")))
    if not given:
        raise click.UsageError(_NO_KEY)
    if not _sendable(given):
        raise click.UsageError(f"What stands in {key_from} is no API key: keys are letters, digits, - and _.")
    suffix = given.partition(".")[2]
    named, named_by = _first(("--project", project), ("MOBIUS_PROJECT", os.environ.get("MOBIUS_PROJECT")))
    if named and suffix and named != suffix:
        raise click.UsageError(
            f"The key from {key_from} belongs to the project “{suffix}”, but {named_by} says “{named}”. "
            "Use a key of that project, or leave the project away."
        )
    chosen, chosen_by = _first(
        (f"from {named_by}", named), (f"from the key in {key_from}", suffix), ("the default", "default")
    )
    address = _address(*_first(("--api-url", url), ("MOBIUS_API_URL", os.environ.get("MOBIUS_API_URL")), ("", HERE)))
    return Place(url=address, key=given, key_from=key_from, project=chosen, project_from=chosen_by)


def _first(*sources: tuple[str, str | None]) -> tuple[str, str]:
    """The first that says something, and who it is."""
    for name, value in sources:
        if value and value.strip():
            return value.strip(), name
    return "", ""


def _address(text: str, named_by: str) -> str:
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").encode("idna")  # as the socket will; a..b is a ValueError
        good = parts.scheme in ("http", "https") and bool(host) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or "@" in parts.netloc or parts.query or parts.fragment or not _sendable(text):
        raise click.UsageError(
            f"{named_by} must be the console's web address alone, such as {HERE} or https://console.example.com."
        )
    return text.rstrip("/").removesuffix("/v1")


def _sendable(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
