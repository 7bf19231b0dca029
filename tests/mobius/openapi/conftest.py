"""What each address of the description may be called with for real."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from integrations.providers.clay.simulator import ClaySimulator
from loops.models import Trigger
from mobius.projects.models import Project
from tests.inventory import Things
from tests.loops.flow import asking, go, token_of, waiting

Places = dict[str, str]
"""Values for the placeholders of an address."""

_FAILED_RUN = ("streamRunEvents", "listRunEvents", "retryRun", "resumeRun")
_PUSHES = {"pausePush": "running_push", "resumePush": "paused_push"}
"""Streams end with their run, and only a failed run can go on."""


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names lead nowhere: whatever address is given, nothing leaves this machine."""
    look_up = socket.getaddrinfo

    def only_here(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in ("127.0.0.1", "localhost"):
            raise socket.gaierror(socket.EAI_NONAME, "this test is alone")
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", only_here)


@pytest.fixture
def places(project: Project, inventory: Things, clay: ClaySimulator, alone: None) -> Places:
    """One of everything, by the names of the placeholders."""
    go(project, asking(), waiting(), event={"request_id": "req_123"})
    handle = Trigger.objects.get(loop=inventory["hooked"]).http_handle
    return inventory | {"token": token_of(clay), "handle": handle}


def places_for(operation_id: str, places: Places) -> Places:
    """Those that suit this operation."""
    if operation_id in _FAILED_RUN:
        return places | {"run": places["failed_run"]}
    if operation_id in _PUSHES:
        return places | {"push": places[_PUSHES[operation_id]]}
    if "TriggerSecret" in operation_id:
        return places | {"loop": places["hooked"]}
    return places
