"""Which headers may go out beside a row: refused, never trimmed or mended.

`requests` and `http.client` let through NUL, spaces in names, `Host`, and `Transfer-Encoding` beside a
`Content-Length` (which lets one request smuggle another), so the rule is ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from mobius.errors import MobiusError

NAME_LIMIT = 64
VALUE_LIMIT = 4096

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VISIBLE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")

# What the transport, the browser world or our own sender decides. Lower case.
_OURS = frozenset(
    """
    host content-length content-type content-encoding transfer-encoding connection keep-alive te trailer upgrade
    expect accept-encoding user-agent cookie set-cookie forwarded via date origin referer
    webhook-id webhook-timestamp webhook-signature idempotency-key
    """.split()
)
_OUR_FAMILIES = ("proxy-", "sec-", "x-forwarded-")


class InvalidHeader(MobiusError):
    """This header cannot be sent."""


def check_header_name(name: str) -> str:
    """`name`, when a project may choose it. Raises InvalidHeader, whose message never holds a secret."""
    if not name:
        raise InvalidHeader("Give the header a name, such as x-clay-webhook-auth.")
    if len(name) > NAME_LIMIT:
        raise InvalidHeader(f"The header's name is longer than {NAME_LIMIT} characters. Copy it again.")
    if not _TOKEN.fullmatch(name):
        raise InvalidHeader(
            "The header's name holds a space or another character that a name cannot have. "
            "Use letters, digits and hyphens, without the colon."
        )
    lowered = name.lower()
    if lowered in _OURS or lowered.startswith(_OUR_FAMILIES):
        raise InvalidHeader(f"The header {name} is set by the sender itself. Choose another name.")
    return name


def check_header_value(value: str) -> str:
    """`value`, when it can go over the wire as it stands. Raises InvalidHeader, whose message never holds it."""
    if not value:
        raise InvalidHeader("Give the header a value.")
    if len(value) > VALUE_LIMIT:
        raise InvalidHeader(f"The header's value is longer than {VALUE_LIMIT:,} characters. Copy it again.")
    if not _VISIBLE.fullmatch(value):
        raise InvalidHeader(
            "The header's value holds a line break, an accent, another invisible character, or a space at an end. "
            "Copy it again without them."
        )
    return value


def check_header(name: str, value: str) -> None:
    """Both rules at once, as they are applied again at each send: rows may be older than the rule."""
    check_header_name(name)
    check_header_value(value)


def check_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    """`headers` of a request about to be sent. A provider may say the Content-Type, which an admin may not."""
    for name, value in headers.items():
        if name.lower() == "content-type":
            check_header_value(value)
        else:
            check_header(name, value)
    return headers
