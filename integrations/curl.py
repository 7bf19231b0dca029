"""Reading a pasted `curl` command: its address and its headers. Pure; nothing is run and nothing is called."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field

from mobius.errors import MobiusError

_LONGEST = 64 * 1024
_COMMAND = re.compile(r"\s*(?:[$>%]\s*)?curl(?:\.exe)?(?=[\s^\\])", re.IGNORECASE)

# Quoted stretches come first, so that what looks like a sign of the shell inside them is left alone.
_SHELL = re.compile(
    r"\$'(?P<ansi>(?:[^'\\]|\\.)*)'|'[^']*'|\"(?:[^\"\\]|\\.)*\"|(?P<goes_on>\\(?:\s+|\Z))|\\.", re.DOTALL
)
_ANSI = re.compile(r"\\(?:x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{1,4})|([0-7]{1,3})|(.))", re.DOTALL)
_ANSI_LETTERS = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "v": "\v"}

# Options that are followed by a value; every other option stands alone.
_SHORT_WITH_VALUE = frozenset("XHdFbcAeoTumxKwCErYyzPQDt")
_LONG_WITH_VALUE = frozenset(
    """
    --request --header --url --data --data-raw --data-binary --data-ascii --data-urlencode --json --form --cookie
    --cookie-jar --user-agent --referer --output --upload-file --user --max-time --connect-timeout --proxy --config
    --write-out --retry --retry-delay --retry-max-time --cacert --cert --key --resolve --interface --range
    --oauth2-bearer
    """.split()
)
_SIGNS_IN = frozenset({"-u", "--user", "--oauth2-bearer"})

_NOT_OURS_TO_KEEP = re.compile(
    r"content-.*|accept(-.*)?|user-agent|host|connection|cache-control|pragma|priority|origin|referer|sec-.*|dnt",
    re.IGNORECASE,
)


class UnreadableCurl(MobiusError):
    """This is not a curl command that we can read. Paste the webhook's URL itself."""


@dataclass(frozen=True, kw_only=True)
class CurlRequest:
    """What the command would send, without its body. Both fields are secret."""

    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def auth_header(self, usual_name: str = "") -> tuple[str, str]:
        """The one header that opens the webhook, or two empty texts. `usual_name` wins over others.

        Raises UnreadableCurl when several could be it.
        """
        found = [header for header in self.headers if not _NOT_OURS_TO_KEEP.fullmatch(header[0])]
        usual = [header for header in found if header[0].lower() == usual_name.lower()]
        choice = usual or found
        if len(choice) > 1:
            names = ", ".join(dict.fromkeys(name for name, _ in choice))
            raise UnreadableCurl(
                f"The command sends several headers ({names}), but a webhook is opened by one. "
                "Paste the URL alone, and the right header below."
            )
        return choice[0] if choice else ("", "")


def is_curl(text: str) -> bool:
    """Does this look like a curl command rather than an address?"""
    return _COMMAND.match(text) is not None


def read_curl(text: str) -> CurlRequest:
    """The address and headers of a curl command for a Unix shell or Windows' cmd.

    Raises UnreadableCurl, whose message never repeats a value of the command.
    """
    if len(text) > _LONGEST:
        raise UnreadableCurl("The curl command is very long. Paste the webhook's URL alone.")
    start = _COMMAND.match(text)
    if start is None:
        raise UnreadableCurl
    addresses: list[str] = []
    headers: list[tuple[str, str]] = []
    for option, value in _options(_words(text[start.end() :])):
        if option in ("-H", "--header"):
            headers += _header(value)
        elif option in ("", "--url"):
            addresses.append(value)
        elif option in _SIGNS_IN:
            raise UnreadableCurl(
                f"The command signs in with {option}, which a webhook does not know. Paste the URL and the header."
            )
    return CurlRequest(url=_one_address(addresses), headers=tuple(headers))


def _words(text: str) -> list[str]:
    if re.search(r'\^["\s]', text):  # Windows' cmd: ^ escapes the next character and lets a line go on
        text = re.sub(r"\^(\s+|.)", lambda found: found[1] if found[1].strip() else " ", text)
    try:
        return shlex.split(_SHELL.sub(_plainer, text))
    except ValueError:
        raise UnreadableCurl(
            "A quotation mark of the curl command is never closed. Copy the whole command again."
        ) from None


def _plainer(found: re.Match[str]) -> str:
    """What shlex does not know, in words that it knows: lines that go on, and $'…'."""
    if found["goes_on"] is not None:
        return " "
    if found["ansi"] is not None:
        return shlex.quote(_ANSI.sub(_ansi_character, found["ansi"]))
    return found[0]


def _ansi_character(found: re.Match[str]) -> str:
    hexadecimal, octal, letter = found[1] or found[2], found[3], found[4]
    if hexadecimal:
        return chr(int(hexadecimal, 16))
    return chr(int(octal, 8)) if octal else _ANSI_LETTERS.get(letter, letter)


def _options(words: list[str]) -> list[tuple[str, str]]:
    """Pairs of an option and its value; the option is empty for a bare word."""
    found: list[tuple[str, str]] = []
    coming = iter(words)
    for word in coming:
        option, value, wants_value = _option(word)
        if wants_value:
            try:
                value = next(coming)
            except StopIteration:
                raise UnreadableCurl(f"The command ends after {option}. Copy the whole command again.") from None
        found.append((option, value))
    return found


def _option(word: str) -> tuple[str, str, bool]:
    """The option in `word`, the value that hangs on it, and whether its value is the next word."""
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        return name, value, not equals and name in _LONG_WITH_VALUE
    if not word.startswith("-") or word == "-":
        return "", word, False
    for place, letter in enumerate(word[1:], start=1):  # -sSXPOST is -s -S -X POST
        if letter in _SHORT_WITH_VALUE:
            value = word[place + 1 :]
            return f"-{letter}", value, not value
    return word, "", False


def _header(text: str) -> list[tuple[str, str]]:
    if text.startswith("@"):
        raise UnreadableCurl("The command reads its headers from a file. Paste the URL and the header themselves.")
    name, colon, value = text.partition(":")
    if not colon and not text.endswith(";"):
        raise UnreadableCurl("A header of the command has no colon. Copy the whole command again.")
    return [(name.strip(), value.strip())] if value.strip() else []  # `Name:` takes a header away


def _one_address(words: list[str]) -> str:
    addresses = list(dict.fromkeys(word for word in words if "://" in word)) or words
    if not addresses:
        raise UnreadableCurl("The curl command has no web address in it. Copy the whole command again.")
    if len(addresses) > 1:
        raise UnreadableCurl("The curl command has several web addresses in it. Paste the webhook's URL alone.")
    return addresses[0]
