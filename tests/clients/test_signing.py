"""Mobius's own clients believe a webhook of ours, and not one that somebody has changed on its way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mobius.projects.models import Project
from tests.clients.conftest import ClientError, MobiusClient
from tests.mobius.notifying.receiving import deliver_due, napping, play, receiver, subscribe


@pytest.fixture
def verifier(command: list[str], tmp_path: Path) -> Iterator[MobiusClient]:
    """Each client's own verifier; nobody is called with it."""
    client = MobiusClient(command, tmp_path, base_url="http://127.0.0.1:9", api_key="mbx_none", project="none")
    yield client
    client.close()


def test_a_webhook_over_the_wire_is_verified_and_a_changed_one_is_not(
    project: Project, settings: Any, verifier: MobiusClient
) -> None:
    with receiver(settings) as server:
        made = subscribe(project, server, events=["run.completed"])
        run = play(napping(project))
        deliver_due()

    ((headers, body),) = server.received
    key = made.text.removeprefix("whsec_")
    told = verifier.verify(headers, body.decode(), key)
    assert (told["type"], told["data"]["id"]) == ("run.completed", run.pk)
    with pytest.raises(ClientError, match="InvalidSignatureError"):
        verifier.verify(headers, body.decode() + " ", key)
