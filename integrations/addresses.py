"""Which URLs and addresses may be dialled: judged when saved and again, after the name is resolved, at each send."""

from __future__ import annotations

import functools
import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

import idna
from django.conf import settings

from mobius.errors import MobiusError

URL_LIMIT = 2048
_DEFAULT_PORTS = {"https": 443, "http": 80}

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
SocketAddress = tuple[str, int] | tuple[str, int, int, int]

# Written out, because `is_global` differs between Python releases (3.11.7 calls 192.0.0.192 global) and knows
# nothing of the clouds' own addresses (168.63.129.16 is Azure's).
_FORBIDDEN: tuple[_Network, ...] = tuple(
    ipaddress.ip_network(network)
    for network in """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 168.63.129.16/32 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24
    192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15
    198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
    ::/96 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 2001::/23 2001:db8::/32 2002::/16 2620:4f:8000::/48
    3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8
    """.split()
)

_ALLOW_ENTRY = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<v4>[0-9.]+))/(?P<prefix>[0-9]{1,3}):(?P<port>[0-9]{1,5})")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
_BRACKETED = re.compile(r"\[[0-9A-Fa-f:.]+\](?::[0-9]*)?")
_SPACE_OR_CONTROL = re.compile(r"[\s\x00-\x20\x7f-\x9f]")


class UnsafeUrl(MobiusError):
    """This address cannot be used."""


@dataclass(frozen=True, kw_only=True)
class AllowedNetwork:
    """One exception of the operator's: these addresses, at this port only."""

    network: _Network
    port: int


@dataclass(frozen=True, kw_only=True)
class Target:
    """A URL that may be used, taken apart once, so that no second parser can read it otherwise."""

    scheme: str
    host: str  # ASCII, lower case, without brackets
    port: int
    path: str = field(repr=False)  # with the query: a credential
    address: str = ""  # the canonical spelling when the host is a literal address

    @property
    def authority(self) -> str:
        """Name, and port where it is not the scheme's own: what the Host header says (RFC 9110, 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{host}{port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


def check_url(url: str) -> str:
    """The URL as it will be used, its host in ASCII. Raises UnsafeUrl, whose message says what to do."""
    return read_url(url).url


def check_form(url: str) -> None:
    """Whether `url` is a web address in one reading, http or https: for one that others call, so that it is not our
    concern where it leads. Raises UnsafeUrl."""
    parts = _split(url)
    _ascii_host(parts)
    _port(parts)


def read_url(url: str) -> Target:
    """The parts of `url`. Literal addresses are judged here, names by `resolve`. Raises UnsafeUrl."""
    parts = _split(url)
    host = _ascii_host(parts)
    port = _port(parts)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not path.isascii() or not path.startswith("/"):
        raise UnsafeUrl("The address holds characters that a web address cannot have. Copy it again from the service.")
    target = Target(scheme=parts.scheme, host=host, port=port, path=path, address=_literal(host))
    allowed = allowed_networks()
    if target.address and _permitted(target, target.address, allowed):
        return target
    if not _is_default(target) and (target.address or all(entry.port != port for entry in allowed)):
        raise UnsafeUrl(
            "Only https on port 443 is used: begin the address with https:// and leave out the port. "
            "For a service of your own, an operator can allow its address and port in MOBIUS_OUTBOUND_ALLOW."
        )
    if target.address:
        raise UnsafeUrl(
            "The address lies in a private or reserved network. Use the service's public https address. "
            "For a service of your own, an operator can allow its address and port in MOBIUS_OUTBOUND_ALLOW."
        )
    return target


def resolve(target: Target) -> list[tuple[int, SocketAddress]]:
    """The socket families and addresses to dial, in order, from one look-up.

    Raises UnsafeUrl when the name has no address or when any of its addresses is forbidden: a name that answers
    with both is rebinding. Both read alike, so that nobody can scan our network by asking.
    A look-up has no time limit of its own; the operating system's applies.
    """
    if target.address:
        return [_socket_address(target.address, target.port)]
    try:
        answers = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise UnsafeUrl("The name does not lead to an address that may be used.") from None
    allowed = allowed_networks()
    addresses: dict[tuple[int, SocketAddress], None] = {}
    for family, _, _, _, answer in answers:
        literal = str(answer[0])
        scoped = "%" in literal or (len(answer) == 4 and answer[3] != 0)
        if family not in (socket.AF_INET, socket.AF_INET6) or scoped or not _permitted(target, literal, allowed):
            addresses.clear()
            break
        addresses[_socket_address(literal, target.port)] = None
    if not addresses:
        raise UnsafeUrl("The name does not lead to an address that may be used.")
    return list(addresses)


def allowed_networks() -> tuple[AllowedNetwork, ...]:
    """The operator's exceptions, MOBIUS_OUTBOUND_ALLOW."""
    return parse_allow(settings.MOBIUS_OUTBOUND_ALLOW)


def parse_allow(entries: Iterable[str]) -> tuple[AllowedNetwork, ...]:
    """The entries of MOBIUS_OUTBOUND_ALLOW. Raises ValueError naming the entry that cannot be read."""
    return _parse_allow(tuple(entries))


@functools.lru_cache(maxsize=64)
def _parse_allow(entries: tuple[str, ...]) -> tuple[AllowedNetwork, ...]:
    return tuple(_parse_entry(entry) for entry in entries)


def _parse_entry(entry: str) -> AllowedNetwork:
    found = _ALLOW_ENTRY.fullmatch(entry)
    try:
        if found is None or not 1 <= int(found["port"]) <= 65535:
            raise ValueError
        network = ipaddress.ip_network(f"{found['v6'] or found['v4']}/{found['prefix']}")
    except ValueError:
        raise ValueError(
            f"MOBIUS_OUTBOUND_ALLOW: {entry!r} is not a network and a port. "
            "Write 127.0.0.1/32:9001 or [::1]/128:9001, with no bits set beyond the prefix."
        ) from None
    return AllowedNetwork(network=network, port=int(found["port"]))


def _split(url: str) -> SplitResult:
    """`url` in parts, when its shape leaves nothing to guess. Must look before `urlsplit`, which drops line breaks."""
    if len(url) > URL_LIMIT:
        raise UnsafeUrl(f"The address is longer than {URL_LIMIT:,} characters. Copy it again from the service.")
    if _SPACE_OR_CONTROL.search(url):
        raise UnsafeUrl("The address holds a space or a line break. Copy it again without it.")
    if "\\" in url:
        raise UnsafeUrl("The address holds a backslash. Use forward slashes.")
    if "#" in url:
        raise UnsafeUrl("The address holds a # and what follows it, which is never sent. Leave it out.")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise UnsafeUrl("This is not a complete web address. Copy it again from the service.") from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.netloc or not parts.hostname:
        raise UnsafeUrl("This is not a complete web address. It begins with https:// and a name.")
    if "@" in parts.netloc:
        raise UnsafeUrl("The address holds a user name or password before an @. Leave them out; use a header.")
    if "%" in parts.netloc:
        raise UnsafeUrl("The address's name holds a %. Write the name out in plain letters.")
    return parts


def _port(parts: SplitResult) -> int:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0 or parts.netloc.endswith(":"):
        raise UnsafeUrl("The address's port is not a number from 1 to 65535. Leave it out.")
    return port or _DEFAULT_PORTS[parts.scheme]


def _ascii_host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if "[" in parts.netloc or "]" in parts.netloc:
        if not _BRACKETED.fullmatch(parts.netloc) or not _literal(host):
            raise UnsafeUrl("What stands in brackets is not an IPv6 address. Use the service's name.")
        return _literal(host)
    try:
        host = host if host.isascii() else idna.encode(host, uts46=True).decode("ascii").lower()
    except UnicodeError:
        raise UnsafeUrl("The address's name is not a valid internet name. Copy it again from the service.") from None
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise UnsafeUrl("The address's name is not a valid internet name: look for a dot too many or an odd character.")
    # Some systems read 2130706433, 0x7f.1 and 127.1 as 127.0.0.1.
    if _NUMERIC_LABEL.fullmatch(labels[-1]) and not _literal(host):
        raise UnsafeUrl("The address spells a number in an unusual way. Use the service's name.")
    return host


@functools.lru_cache(maxsize=4096)
def _literal(host: str) -> str:
    """The canonical spelling when `host` is an IP address, else nothing."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return ""


def _is_default(target: Target) -> bool:
    return target.scheme == "https" and target.port == 443


def _permitted(target: Target, literal: str, allowed: tuple[AllowedNetwork, ...]) -> bool:
    address = _unwrapped(literal)
    if any(entry.port == target.port and address in entry.network for entry in allowed):
        return True
    return _is_default(target) and is_public(literal)


@functools.lru_cache(maxsize=4096)
def is_public(literal: str) -> bool:
    """Whether the address lies in none of the networks that are private, reserved or the clouds' own."""
    address = _unwrapped(literal)
    return not any(address in network for network in _FORBIDDEN)


@functools.lru_cache(maxsize=4096)
def _unwrapped(literal: str) -> _Address:
    """An IPv4 address in IPv6 dress is the IPv4 address that it stands for."""
    address = ipaddress.ip_address(literal)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _socket_address(literal: str, port: int) -> tuple[int, SocketAddress]:
    if ":" in literal:
        return socket.AF_INET6, (literal, port, 0, 0)
    return socket.AF_INET, (literal, port)
