"""The fixed cast: Alice owns the project `platform`, Bob works in it, Charlie belongs to another, Sam supports."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from integrations.connecting import connect
from integrations.forms import UNLIMITED, Options
from integrations.models import Integration
from integrations.providers.clay.simulator import ClaySimulator
from integrations.providers.contract import Connection
from integrations.providers.registry import get_provider
from loops.advance import advance
from loops.authoring import create_loop
from loops.models import Loop, Run, RunStatus
from mobius import clock
from mobius.projects.keys import create_key
from mobius.projects.models import Membership, Project
from mobius.projects.roles import Role
from tests import described

_numbers = itertools.count()
PASSWORD = "correct horse battery staple"


@pytest.fixture
def project(db: None) -> Project:
    return Project.objects.create(handle="platform", name="Platform")


@pytest.fixture
def other_project(db: None) -> Project:
    return Project.objects.create(handle="elsewhere", name="Elsewhere")


def _person(name: str, project: Project, role: Role) -> User:
    user = User.objects.create_user(name, password=PASSWORD)
    Membership.objects.create(project=project, user=user, role=role)
    return user


@pytest.fixture
def alice(project: Project) -> User:
    """Admin of `platform`."""
    return _person("alice", project, Role.ADMIN)


@pytest.fixture
def bob(project: Project) -> User:
    """Operator of `platform`."""
    return _person("bob", project, Role.OPERATOR)


@pytest.fixture
def vera(project: Project) -> User:
    """Viewer of `platform`."""
    return _person("vera", project, Role.VIEWER)


@pytest.fixture
def charlie(other_project: Project) -> User:
    """Admin of `elsewhere`, a stranger to `platform`."""
    return _person("charlie", other_project, Role.ADMIN)


@pytest.fixture
def admin(client: Client, alice: User) -> Client:
    """Alice's browser, signed in."""
    client.force_login(alice)
    return client


class Api(APIClient):
    """A client with a bearer key that speaks JSON."""

    def __init__(self, project: Project, role: Role) -> None:
        super().__init__()
        self.key = create_key(project=project, name=f"{role} {next(_numbers)}", role=role)
        self.credentials(HTTP_AUTHORIZATION=f"Bearer {self.key.text}")
        self.default_format = "json"
        self.root = f"/v1/projects/{project.handle}"

    def request(self, **kwargs: Any) -> Any:
        """Every answer must be one that the API's description speaks of."""
        answer = super().request(**kwargs)
        if "PATH_INFO" in kwargs:
            described.check_answer(kwargs["REQUEST_METHOD"], kwargs["PATH_INFO"], answer)
        return answer


@pytest.fixture
def api(project: Project) -> Api:
    """Acts in `platform` with a key of role admin."""
    return Api(project, Role.ADMIN)


@pytest.fixture
def api_as(project: Project) -> Callable[[Role], Api]:
    """Acts in `platform` with a key of the given role."""
    return lambda role: Api(project, role)


@pytest.fixture
def stranger_api(other_project: Project) -> Api:
    """Acts in `elsewhere`."""
    return Api(other_project, Role.ADMIN)


@pytest.fixture
def clay(settings: Any) -> Iterator[ClaySimulator]:
    """A Clay table on a loopback port that we may dial; unpaced, callbacks off."""
    with ClaySimulator(unpaced=True, answer="json") as simulator:
        settings.MOBIUS_OUTBOUND_ALLOW = [f"127.0.0.1/32:{simulator.port}"]
        yield simulator


@pytest.fixture
def integration(project: Project, clay: ClaySimulator) -> Integration:
    """`platform` is connected to the simulated table, without pacing."""
    return connect(
        project=project,
        provider=get_provider("clay"),
        connection=Connection(webhook_url=clay.url),
        options=Options(rate_per_second=UNLIMITED),
    )


PUSH_LEADS: dict[str, Any] = {
    "name": "push-leads",
    "schema_version": "1",
    "steps": [
        {
            "id": "push",
            "kind": "action",
            "config": {
                "action_name": "clay.webhook.submit",
                "parameters": {
                    "payload": {"email": "${{ event.email }}"},
                    "request_id": "${{ meta.run_id }}",
                },
            },
        }
    ],
}


@pytest.fixture
def push_leads(project: Project) -> Loop:
    """The smallest Clay loop: one row with the event's e-mail."""
    return create_loop(project=project, authored=PUSH_LEADS)


def work_off() -> None:
    """Do what the engine does, on this thread: take ready runs until there are none."""
    while ready := list(_ready_runs()):
        for run_id in ready:
            advance(run_id)


def _ready_runs() -> list[str]:
    due = Run.objects.filter(status=RunStatus.SUSPENDED, wake_at__lte=clock.now())
    return [
        *Run.objects.filter(status=RunStatus.QUEUED, queue_reason="").values_list("pk", flat=True),
        *due.values_list("pk", flat=True),
    ]


def wait_until(condition: Callable[[], object], seconds: float = 15) -> None:
    """Wait for what threads of this process do."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.01)


def cannot(sentence: str) -> NoReturn:
    """Skip the test for want of something that a machine may lack; where all must run, as in CI, it fails."""
    (pytest.fail if os.environ.get("MOBIUS_TEST_REQUIRE") == "1" else pytest.skip)(sentence)
