"""A line of the log is one line, whatever stands in it, and no stranger rings for whoever watches for errors."""

from __future__ import annotations

import json
import logging
import logging.config
from typing import Any

import pytest
from django.contrib.admin import exceptions as admin_errors  # noqa: F401  (so that they are known)
from django.contrib.auth.models import User
from django.core.exceptions import SuspiciousOperation
from django.test import Client

FORGED = "push\n2026-11-28 00:00:00,000 INFO mobius: all is well\r\x1b[2J\u202e\u2028\x9b"


@pytest.fixture(params=["text", "json"])
def formatter(request: pytest.FixtureRequest, settings: Any) -> Any:
    """As the settings make it."""
    wanted = dict(settings.LOGGING["formatters"][request.param])
    return logging.config.DictConfigurator({"version": 1}).configure_formatter(wanted)


def record(message: str, *arguments: Any) -> logging.LogRecord:
    return logging.LogRecord("mobius.loops", logging.WARNING, "", 0, message, arguments, None)


def test_a_name_with_line_breaks_forges_no_line_and_moves_no_terminal(formatter: logging.Formatter) -> None:
    line = formatter.format(record("trigger %s started no run", FORGED))

    assert len(line.splitlines()) == 1
    assert not [one for one in line if ord(one) < 32 or 0x7F <= ord(one) < 0xA0]
    assert "all is well" in line
    if line[0] == "{":
        assert json.loads(line)["message"] == f"trigger {FORGED} started no run"


def test_a_traceback_keeps_its_lines(formatter: logging.Formatter) -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError as error:
        failed = record("it failed")
        failed.exc_info = (type(error), error, error.__traceback__)

    line = formatter.format(failed)

    text = line if line[0] != "{" else json.loads(line)["traceback"]
    assert "ValueError: first\nsecond" in text


ODD: list[dict[str, Any]] = [
    {"HTTP_HOST": "evil.example"},
    {"HTTP_HOST": "["},
    {"data": {"a": "x" * 300_000}},
    {"data": {f"field{number}": "" for number in range(2_000)}},
    {"CONTENT_LENGTH": str(10**12)},
    {"data": "nonsense", "content_type": "multipart/form-data; boundary=" + "x" * 300},
    {"QUERY_STRING": "next=%00"},
]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
@pytest.mark.parametrize("path", ["/login/", "/admin/auth/user/?e=1&password__startswith=a", "/nowhere"])
def test_an_odd_request_is_no_error_of_ours(
    client: Client, db: None, caplog: pytest.LogCaptureFixture, path: str, odd: dict[str, Any]
) -> None:
    """Errors are mailed, and kept by error trackers: a stranger must not be able to send them by the thousand."""
    client.raise_request_exception = False
    client.force_login(User.objects.create_superuser("root"))

    assert client.post(path, **odd).status_code < 500

    assert [one for one in caplog.records if one.levelno >= logging.ERROR or one.exc_info] == []


def test_django_knows_no_other_odd_requests(settings: Any) -> None:
    def kinds(kind: type[Exception]) -> set[type[Exception]]:
        return {kind}.union(*map(kinds, kind.__subclasses__()))

    names = {kind.__name__ for kind in kinds(SuspiciousOperation) if kind.__module__.startswith("django.")}

    assert {f"django.security.{name}" for name in names} <= set(settings.LOGGING["loggers"])
