from __future__ import annotations

import socket
from typing import Any

import pytest

from integrations.addresses import UnsafeUrl, check_url, is_public, parse_allow, read_url, resolve


@pytest.fixture(autouse=True)
def no_exceptions(settings: Any) -> None:
    settings.MOBIUS_OUTBOUND_ALLOW = []


@pytest.mark.parametrize(
    ("url", "used"),
    [
        ("https://api.clay.com/v3/sources/webhook/abc", "https://api.clay.com/v3/sources/webhook/abc"),
        ("https://api.clay.com", "https://api.clay.com/"),
        ("https://api.clay.com:443/a?b=c&d=%2F", "https://api.clay.com/a?b=c&d=%2F"),
        ("HTTPS://API.Clay.COM/Case", "https://api.clay.com/Case"),
        ("https://bücher.example/x", "https://xn--bcher-kva.example/x"),
        ("https://example。com/x", "https://example.com/x"),
        ("https://8.8.8.8/x", "https://8.8.8.8/x"),
        ("https://[2606:4700:0::1111]/x", "https://[2606:4700::1111]/x"),
        ("https://1.2.3.4.example.com/", "https://1.2.3.4.example.com/"),
        ("https://example.com/user@host/%20", "https://example.com/user@host/%20"),
    ],
)
def test_a_public_https_address_is_taken_in_one_spelling(url: str, used: str) -> None:
    assert check_url(url) == used
    assert check_url(used) == used


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://example.com/", "Only https on port 443"),
        ("https://example.com:8443/", "Only https on port 443"),
        ("http://example.com:443/", "Only https on port 443"),
        ("https://8.8.8.8:80/", "Only https on port 443"),
        ("https://example.com:0/", "port is not a number"),
        ("https://example.com:/", "port is not a number"),
        ("https://example.com:99999/", "port is not a number"),
        ("https://example.com:44３/", "port is not a number"),
        ("https://user@example.com/", "user name or password"),
        ("https://user:secret@example.com/", "user name or password"),
        ("https://example.com@10.0.0.1/", "user name or password"),
        ("https://example.com\\@10.0.0.1/", "backslash"),
        ("https://example.com/a\\b", "backslash"),
        ("https://exam ple.com/", "space or a line break"),
        (" https://example.com/", "space or a line break"),
        ("https://example.com/\n", "space or a line break"),
        ("https://example.com/a\tb", "space or a line break"),
        ("https://example.com/\x00", "space or a line break"),
        ("https://example.com/\u2003", "space or a line break"),
        ("https://exam%2eple.com/", "holds a %"),
        ("https://[fe80::1%25eth0]/", "complete web address|holds a %"),
        ("https://example.com/#part", "holds a #"),
        ("https://example.com./", "a dot too many"),
        ("https://example..com/", "a dot too many"),
        ("https://.example.com/", "a dot too many"),
        ("https://-example.com/", "a dot too many"),
        ("https://" + "a" * 64 + ".com/", "a dot too many"),
        ("https://" + ".".join(["a" * 60] * 5) + "/", "a dot too many"),
        ("https://exa$mple.com/", "a dot too many"),
        ("https://ex☃\u200d\u0301.com/", "not a valid internet name"),
        ("https://2130706433/", "unusual way"),
        ("https://0x7f000001/", "unusual way"),
        ("https://017700000001/", "unusual way"),
        ("https://127.1/", "unusual way"),
        ("https://127.0.0.01/", "unusual way"),
        ("https://0x7f.0.0.1/", "unusual way"),
        ("https://example.0x7f/", "unusual way"),
        ("https://256.256.256.256/", "unusual way"),
        ("https://[::1]evil.example/", "complete web address|in brackets"),
        ("https://evil.example[::1]/", "complete web address|in brackets"),
        ("https://[v1.abc]/", "complete web address|in brackets"),
        ("https://[::1/", "complete web address"),
        ("https:///path", "complete web address"),
        ("https:example.com", "complete web address"),
        ("//example.com/", "complete web address"),
        ("example.com", "complete web address"),
        ("", "complete web address"),
        ("ftp://example.com/", "complete web address"),
        ("file:///etc/passwd", "complete web address"),
        ("gopher://example.com/", "complete web address"),
        ("https://example.com/naïve", "characters that a web address cannot have"),
        ("https://example.com/" + "a" * 2040, "longer than 2,048"),
    ],
)
def test_an_address_that_could_be_read_in_two_ways_is_refused_with_what_to_do(url: str, says: str) -> None:
    with pytest.raises(UnsafeUrl, match=says):
        check_url(url)


def test_no_refusal_repeats_the_path_or_the_password() -> None:
    for url in (
        "http://u:hunter2@example.com/secret-path",
        "https://example.com:1/secret-path",
        "https://10.0.0.1/secret-path",
    ):
        with pytest.raises(UnsafeUrl) as refusal:
            check_url(url)
        assert "secret" not in str(refusal.value)
        assert "hunter2" not in str(refusal.value)


FORBIDDEN_ADDRESSES = """
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.254 100.100.100.200 127.0.0.1 127.255.255.254
168.63.129.16 169.254.169.254 169.254.170.2 169.254.0.1 172.16.0.1 172.31.255.254 192.0.0.8 192.0.0.192 192.0.2.1
192.31.196.1 192.52.193.1 192.88.99.1 192.168.0.1 192.175.48.1 198.18.0.1 198.19.255.254 198.51.100.1 203.0.113.1
224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
:: ::1 ::7f00:1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0:127.0.0.1 64:ff9b::7f00:1
64:ff9b::808:808 64:ff9b:1::1 100::1 2001::1 2001:db8::1 2002:7f00:1:: 2620:4f:8000::1 3fff::1 5f00::1 fc00::1
fd00:ec2::254 fe80::1 fec0::1 ff02::1
""".split()


@pytest.mark.parametrize("address", FORBIDDEN_ADDRESSES)
def test_a_private_or_reserved_address_is_refused_when_it_is_saved(address: str) -> None:
    assert not is_public(address)
    with pytest.raises(UnsafeUrl, match="private or reserved"):
        check_url(f"https://[{address}]/" if ":" in address else f"https://{address}/")


@pytest.mark.parametrize(
    "address",
    "1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 168.63.129.15 168.63.129.17 "
    "172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 "
    "2606:4700::1111 2a00:1450:4001::1 ::ffff:8.8.8.8".split(),
)
def test_the_neighbours_of_the_forbidden_networks_are_public(address: str) -> None:
    assert is_public(address)


def test_an_exception_opens_one_address_at_one_port_and_plain_http_only_there(settings: Any) -> None:
    settings.MOBIUS_OUTBOUND_ALLOW = ["127.0.0.1/32:9001", "[::1]/128:9001"]

    assert check_url("http://127.0.0.1:9001/x") == "http://127.0.0.1:9001/x"
    assert check_url("https://127.0.0.1:9001/x") == "https://127.0.0.1:9001/x"
    assert check_url("http://[::1]:9001/x") == "http://[::1]:9001/x"
    assert check_url("http://localhost:9001/x") == "http://localhost:9001/x"  # judged again when it is resolved
    for refused in (
        "http://127.0.0.1:9002/",
        "http://127.0.0.2:9001/",
        "http://8.8.8.8:9001/",
        "http://localhost:9002/",
        "https://127.0.0.1/",
        "http://127.0.0.1/",
    ):
        with pytest.raises(UnsafeUrl):
            check_url(refused)


def test_an_exception_for_port_443_opens_that_address_for_plain_https(settings: Any) -> None:
    settings.MOBIUS_OUTBOUND_ALLOW = ["10.1.0.0/16:443"]

    assert check_url("https://10.1.2.3/x") == "https://10.1.2.3/x"
    with pytest.raises(UnsafeUrl):
        check_url("https://10.2.0.1/x")


@pytest.mark.parametrize(
    "entry",
    ["", "127.0.0.1", "127.0.0.1:9001", "127.0.0.1/32", "127.0.0.1/32:", "127.0.0.1/33:80", "127.0.0.1/8:9001",
     "127.0.0.1/32:0", "127.0.0.1/32:65536", "localhost/32:80", "::1/128:80", "[::1]:80", "*", "127.0.0.1/32:80 "],
)  # fmt: skip
def test_an_exception_that_cannot_be_read_is_named_with_an_example(entry: str) -> None:
    with pytest.raises(ValueError, match=r"127\.0\.0\.1/32:9001") as refusal:
        parse_allow([entry])

    assert repr(entry) in str(refusal.value)


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: tuple[int, tuple[Any, ...]]) -> None:
    def look_up(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        return [(family, socket.SOCK_STREAM, 6, "", address) for family, address in answers]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def test_a_name_leads_to_all_its_public_addresses_in_order_and_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    v4, v6 = (socket.AF_INET, ("8.8.8.8", 443)), (socket.AF_INET6, ("2606:4700::1111", 443, 0, 0))
    resolving(monkeypatch, v6, v4, v4)

    assert resolve(read_url("https://example.com/")) == [v6, v4]


@pytest.mark.parametrize(
    "forbidden",
    [
        (socket.AF_INET, ("10.0.0.1", 443)),
        (socket.AF_INET6, ("::ffff:10.0.0.1", 443, 0, 0)),
        (socket.AF_INET6, ("2606:4700::1111%eth0", 443, 0, 0)),
        (socket.AF_INET6, ("2606:4700::1111", 443, 0, 2)),
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_a_name_with_one_forbidden_address_is_refused_wherever_it_stands(
    monkeypatch: pytest.MonkeyPatch, forbidden: tuple[int, tuple[Any, ...]], place: int
) -> None:
    answers = [(socket.AF_INET, ("8.8.8.8", 443))]
    answers.insert(place, forbidden)  # type: ignore[arg-type]
    resolving(monkeypatch, *answers)

    with pytest.raises(UnsafeUrl):
        resolve(read_url("https://example.com/"))


def test_a_forbidden_name_and_an_unknown_one_are_refused_in_the_same_words(monkeypatch: pytest.MonkeyPatch) -> None:
    target = read_url("https://example.com/")
    resolving(monkeypatch, (socket.AF_INET, ("10.0.0.1", 443)))
    with pytest.raises(UnsafeUrl) as forbidden:
        resolve(target)

    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(8, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(UnsafeUrl) as unresolvable:
        resolve(target)

    assert str(forbidden.value) == str(unresolvable.value)


def test_a_name_at_an_excepted_port_must_lead_to_the_excepted_address(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.MOBIUS_OUTBOUND_ALLOW = ["127.0.0.1/32:9001"]
    target = read_url("http://localhost:9001/")

    resolving(monkeypatch, (socket.AF_INET, ("127.0.0.1", 9001)))
    assert resolve(target) == [(socket.AF_INET, ("127.0.0.1", 9001))]

    for elsewhere in ("127.0.0.2", "8.8.8.8"):
        resolving(monkeypatch, (socket.AF_INET, ("127.0.0.1", 9001)), (socket.AF_INET, (elsewhere, 9001)))
        with pytest.raises(UnsafeUrl):
            resolve(target)
