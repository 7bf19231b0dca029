"""Addresses that lead where nobody may be sent, a name server that knows them, and a trap for what is dialled."""

from __future__ import annotations

import socket
from typing import Any

import pytest

NAMES = {
    "loop.test": ["127.0.0.1"],
    "loop6.test": ["::1"],
    "zero.test": ["0.0.0.0"],
    "private.test": ["10.1.2.3"],
    "metadata.test": ["169.254.169.254"],
    "azure.test": ["168.63.129.16"],
    "alibaba.test": ["100.100.100.200"],
    "mapped.test": ["::ffff:10.0.0.1"],
    "nat64.test": ["64:ff9b::a00:1"],
    "ula.test": ["fd00:ec2::254"],
    "both.test": ["8.8.8.8", "10.0.0.1"],
    "both6.test": ["2606:4700::1111", "::1"],
    "localhost": ["127.0.0.1"],
    "metadata.google.internal": ["169.254.169.254"],
    "public.test": ["8.8.8.8"],
}

HOSTILE = [
    *(f"https://{name}/latest" for name in NAMES if name != "public.test"),
    "https://unknown.test/",
    *(
        f"https://{host}/x"
        for host in (
            "127.0.0.1 127.1 127.0.1 2130706433 0x7f000001 0x7f.0.0.1 017700000001 0177.0.0.1 127.0.0.1. 0 0.0.0.0 "
            "10.0.0.1 10.1 172.16.0.1 192.168.1.1 100.64.0.1 169.254.169.254 169.254.170.2 2852039166 0xa9fea9fe "
            "0251.0376.0251.0376 100.100.100.200 192.0.0.192 168.63.129.16 198.18.0.1 224.0.0.1 255.255.255.255 "
            "１２７.０.０.１ 127。0。0。1 ①②⑦.0.0.1 localhost. LOCALHOST loop.test. 127%2e0%2e0%2e1 %6c%6fcalhost "
            "[::1] [::] [::127.0.0.1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::ffff:0:127.0.0.1] [0:0:0:0:0:0:0:1] "
            "[64:ff9b::7f00:1] [64:ff9b:1::1] [2002:7f00:1::] [2001::1] [fc00::1] [fd00:ec2::254] [fe80::1] "
            "[fe80::1%25lo] [fec0::1] [ff02::1] [2001:db8::1] [::1%25lo] [::1]@public.test public.test@127.0.0.1 "
            "public.test:80@127.0.0.1 public.test#@127.0.0.1 127.0.0.1#public.test public.test:0 public.test:22 "
            "public.test:8443 127.0.0.1:443 127.0.0.1:9001 [::1]:443 public.test:４４３ public.test:"
        ).split()
    ),
    "http://public.test/",
    "http://127.0.0.1/",
    "http://127.0.0.1:9001/",
    "https://public.test\\@127.0.0.1/",
    "https://127.0.0.1\\.public.test/",
    "https://public.test /",
    "https://public.test\t.evil/",
    "https://public.test/\r\nHost: evil",
    "https:127.0.0.1/",
    "https:///127.0.0.1/",
    "//127.0.0.1/",
    "ftp://public.test/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_PING",
    "unix:///var/run/docker.sock",
    "javascript:alert(1)",
    "",
]


def resolve_to(monkeypatch: pytest.MonkeyPatch, table: dict[str, list[list[str]]]) -> list[str]:
    """A name server: each name has a list of answers, the last of which repeats. Returns the names asked for."""
    asked: list[str] = []

    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        asked.append(host)
        if host not in table:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        addresses = table[host].pop(0) if len(table[host]) > 1 else table[host][0]
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch, settings: Any) -> list[Any]:
    """What anything in this process tried to connect to beyond the database, with NAMES to look up. Nothing gets
    out."""
    settings.MOBIUS_OUTBOUND_ALLOW = []
    resolve_to(monkeypatch, {name: [addresses] for name, addresses in NAMES.items()})
    addresses: list[Any] = []

    def trap(_: socket.socket, address: Any) -> None:
        addresses.append(address)
        raise ConnectionRefusedError("trapped")

    monkeypatch.setattr(socket.socket, "connect", trap)
    monkeypatch.setattr(socket.socket, "connect_ex", trap)
    return addresses
