"""Somebody to mail, and conditions that come and go as a test says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mobius.alerting import conditions
from mobius.alerting.conditions import Condition, Finding
from mobius.alerting.models import Recipient
from mobius.alerting.recipients import add_recipient
from mobius.projects.auditing import SYSTEM
from mobius.projects.models import Project
from tests.mobius.alerting.mailbox import MailServer


@pytest.fixture
def mail_server(settings: Any) -> Iterator[MailServer]:
    with MailServer() as server:
        server.serves(settings)
        yield server


@pytest.fixture
def ada(project: Project) -> Recipient:
    return add_recipient(project=project, address="ada@example.com", by=SYSTEM)


class World:
    """What is wrong at the moment."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.findings: list[Finding] = []

    def breaks(self, level: int = 1, *, name: str = "clay", summary: str = "paused") -> None:
        self.findings = [
            Finding(
                project_id=self.project.pk,
                condition=Condition.INTEGRATION,
                object_id="intg_1",
                object_name=name,
                level=level,
                summary=summary,
                detail="It was answered with 401.",
                to_do="Test the webhook.",
            )
        ]

    def heals(self) -> None:
        self.findings = []


@pytest.fixture
def world(project: Project, monkeypatch: pytest.MonkeyPatch) -> World:
    """Nothing is found but what the test says."""
    world = World(project)
    monkeypatch.setattr(conditions, "_finders", [lambda now: list(world.findings)])
    return world
