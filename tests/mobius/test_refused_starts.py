"""Starts that are refused, whoever starts: placeholder keys, and debug pages that others could see."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from mobius import exposure, rootkeys

ROOT = Path(__file__).resolve().parents[2]
FERNET = "Zk3yQ0b8m1d9X2t7LrT4nB6vYcJ5hGdF6pA0eUiO1ws="
SOUND = "Zk3-for-this-test-only_9sQxW7vLrT2nB8mYcJ5hGdF6pA0eUiO1"


@pytest.mark.parametrize(
    "key",
    [
        "changeme",
        "change-me-" * 8,
        "please CHANGE THIS to something of your own, would you?",
        "django-insecure-0a9s8d7f6g5h4j3k2l1zqxwcevrbtnymu",
        "your-secret-key-goes-here-0123456789-abcdefgh",
        "<a long random text, fifty characters at least, please>",
        "x" * 64,
        "abababababababababababababababababababababababab",
        "short-but-odd-9sQxW7",
        "",
    ],
)
def test_a_secret_key_that_others_could_guess_is_refused(key: str) -> None:
    assert rootkeys.fault_of_secret_key(key)


def test_a_random_secret_key_is_taken() -> None:
    assert not rootkeys.fault_of_secret_key(SOUND)
    assert not rootkeys.fault_of_secret_key("0123456789abcdef" * 4)


@pytest.mark.parametrize(
    "key",
    [
        *("changeme", "", "é" * 44, base64.urlsafe_b64encode(bytes(32)).decode(), "A" * 44, FERNET[:-4], FERNET * 2),
        *(FERNET.replace("Z", "+"), FERNET.replace("Z", "/")),  # of the other base64
    ],
)
def test_an_encryption_key_that_is_none_or_a_placeholder_is_refused(key: str) -> None:
    assert rootkeys.fault_of_encryption_key(key)


def test_a_random_encryption_key_is_taken() -> None:
    assert not rootkeys.fault_of_encryption_key(FERNET)


def start(directory: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {"MOBIUS_DATA_DIR": str(directory), "SECRET_KEY": SOUND, "FIELD_ENCRYPTION_KEY": FERNET}
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=kept | given | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


MANAGE = ("manage.py", "check")
SERVE = ("-m", "mobius.cli", "serve", "--port", "1")
WSGI = ("-c", "import mobius.wsgi")  # what gunicorn, and any other server, does first


@pytest.mark.parametrize("command", [MANAGE, SERVE, WSGI], ids=["manage.py", "serve", "wsgi"])
@pytest.mark.parametrize("name", ["SECRET_KEY", "FIELD_ENCRYPTION_KEY"])
def test_a_placeholder_stops_every_start_with_what_to_do(tmp_path: Path, command: tuple[str, ...], name: str) -> None:
    ended = start(tmp_path, *command, **{name: "changeme"})

    assert ended.returncode != 0
    assert f"{name} cannot be used" in ended.stderr
    assert "Make one with: python3 -c" in ended.stderr
    assert "changeme" not in ended.stderr


def test_a_proxy_that_is_no_address_stops_every_start(tmp_path: Path) -> None:
    ended = start(tmp_path, *MANAGE, MOBIUS_TRUSTED_PROXIES="10.0.0.0/8,proxy.example")

    assert "proxy.example is neither an address nor a network" in ended.stderr


@pytest.mark.parametrize("command", [WSGI, (*SERVE, "--host", "0.0.0.0")], ids=["wsgi", "serve"])
def test_debug_stops_every_server_that_others_could_reach(tmp_path: Path, command: tuple[str, ...]) -> None:
    ended = start(tmp_path, *command, DEBUG="on")

    assert ended.returncode != 0
    assert "DEBUG is on, and debug pages show secrets." in ended.stderr


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.7", False),
        ("127.evil.example", False),
        ("", False),
    ],
)
def test_debug_is_for_this_machine_alone(settings: object, host: str, local: bool) -> None:
    settings.DEBUG, settings.MOBIUS_LISTENS_ON = True, host  # type: ignore[attr-defined]

    assert exposure.is_loopback(host) == local
    if local:
        exposure.refuse_debug_for_others()
    else:
        with pytest.raises(ImproperlyConfigured):
            exposure.refuse_debug_for_others()


def test_with_https_the_deployment_check_finds_nothing(tmp_path: Path) -> None:
    ended = start(
        tmp_path,
        *("manage.py", "check", "--deploy", "--fail-level", "WARNING"),
        HTTPS="on",
        ALLOWED_HOSTS="console.example.com",
    )

    assert ended.returncode == 0, ended.stderr
    assert "no issues" in ended.stdout


COOKIES = """
import django; from django.conf import settings as s; django.setup()
print(s.SESSION_COOKIE_NAME, s.CSRF_COOKIE_NAME, s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE, s.SECURE_HSTS_SECONDS)
"""


def test_with_https_cookies_are_bound_to_this_host(tmp_path: Path) -> None:
    said = start(tmp_path, "-c", COOKIES, HTTPS="on", DJANGO_SETTINGS_MODULE="mobius.settings").stdout

    assert said.split() == ["__Host-sessionid", "__Host-csrftoken", "True", "True", "31536000"]
