"""The WSGI application as a server of any kind meets it: imported first, in a fresh interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("module", ["mobius.wsgi", "mobius.working", "mobius.engine.crowd"])
def test_a_fresh_interpreter_can_begin_with_it(module: str) -> None:
    """`gunicorn mobius.wsgi:application` imports it before anything else is there."""
    statements = f"import {module}, mobius.wsgi; assert callable(mobius.wsgi.application)"
    done = begin(statements)

    assert done.returncode == 0, done.stderr


def test_a_console_that_nobody_asks_for_its_description_does_not_load_what_makes_it() -> None:
    """It would take memory from everybody."""
    statements = (
        "import sys, mobius.wsgi, mobius.urls; "
        "print([one for one in sys.modules if one in ('drf_spectacular.openapi', 'loops.api.openapi')])"
    )

    assert begin(statements).stdout == "[]\n"


def begin(statements: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-c", statements],
        cwd=ROOT,
        env=environment | {"DJANGO_SETTINGS_MODULE": "mobius.settings"},
        capture_output=True,
        text=True,
        timeout=60,
    )
