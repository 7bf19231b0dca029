"""Commands that cannot do what was asked: one sentence that says what to do."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from mobius.cli import main
from mobius.projects.models import Project

pytestmark = pytest.mark.django_db


def refusal(*arguments: str) -> str:
    outcome = CliRunner().invoke(main, arguments)
    assert outcome.exit_code == 1, outcome.output
    return outcome.output


def test_a_worker_without_an_address_for_callbacks_does_not_start(settings: Any) -> None:
    settings.MOBIUS_ENGINE, settings.MOBIUS_PUBLIC_URL = "procrastinate", ""

    assert "Set it to the address under which the console is reached" in refusal("work")


def test_the_embedded_engine_needs_no_worker(settings: Any) -> None:
    settings.MOBIUS_ENGINE = "embedded"

    assert "set DATABASE_URL" in refusal("work")


def test_a_project_that_is_missing_or_there_already_says_so(project: Project) -> None:
    assert "There is a project platform already." in refusal("project", "create", "platform")
    missing = refusal("key", "create", "--project", "nowhere", "--name", "clay", "--role", "run")
    assert "Make it: python3 -m mobius project create nowhere" in missing
