"""A line of the log is one line, whatever stands in it."""

from __future__ import annotations

import json
import logging
import logging.config
from typing import Any

import pytest

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
