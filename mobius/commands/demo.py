"""`serve --demo`: a project, a key, a connected simulator and a loop, and one run that goes out and comes back."""

from __future__ import annotations

from typing import Any

import click
from django.conf import settings

from integrations.connecting import connect
from integrations.providers.contract import Connection
from integrations.providers.registry import get_provider
from loops.authoring import create_loop
from loops.models import Loop
from loops.starting import LoopPaused, Start, start_run
from mobius.projects.auditing import SYSTEM
from mobius.projects.founding import create_project
from mobius.projects.keys import create_key
from mobius.projects.models import Project
from mobius.projects.roles import Role

PROJECT = "platform"
KEY_NAME = "demo"
LOOP: dict[str, Any] = {
    "name": "enrich-lead",
    "description": "Pushes a lead into Clay and waits for what Clay found out about it.",
    "schema_version": "1",
    "event": {
        "email": {"type": "string", "required": True, "description": "Whom to look up."},
        "company_domain": {"type": "string", "default": "example.com"},
    },
    "steps": [
        {
            "id": "push",
            "name": "Push the lead into Clay",
            "kind": "action",
            "config": {
                "action_name": "clay.webhook.submit",
                "parameters": {
                    "payload": {
                        "email": "${{ event.email }}",
                        "company_domain": "${{ event.company_domain }}",
                        "source": "mobius",
                    },
                    "request_id": "${{ meta.run_id }}",
                    "callback_url": "${{ callback.url }}",
                },
            },
        },
        {
            "id": "answer",
            "name": "Wait for Clay's answer",
            "kind": "wait_for_event",
            "config": {"event_type": "clay.callback", "source_id": "push"},
            "timeout": {"duration": "1h", "on_timeout": "fail"},
        },
    ],
}


def prepare(webhook_url: str) -> None:
    """Make what is missing, connect the simulator that runs now, start one run, and say how to start another."""
    project = Project.objects.filter(handle=PROJECT).first()
    project = project or create_project(handle=PROJECT, name="Platform", by=SYSTEM)
    connect(project=project, provider=get_provider("clay"), connection=Connection(webhook_url=webhook_url))
    loop = Loop.objects.present().filter(project=project, name=LOOP["name"]).first()
    loop = loop or create_loop(project=project, authored=LOOP)
    start = Start(
        event={"email": "ada@example.com"}, meta={}, config={}, source={"type": "manual", "id": "demo", "label": "Demo"}
    )
    try:
        start_run(loop=loop, start=start)
    except LoopPaused as error:
        click.echo(f"no run was started: {error.message}")
    if project.api_keys.filter(name=KEY_NAME, revoked_at=None).exists():
        return
    key = create_key(project=project, name=KEY_NAME, role=Role.ADMIN)
    click.echo(f"api key for the project {PROJECT}: {key.text}")
    click.echo(
        f"start another run: curl -X POST {settings.MOBIUS_PUBLIC_URL}/v1/projects/{PROJECT}/loops/{loop.name}/runs"
        f" -H 'Authorization: Bearer {key.text}' -H 'Content-Type: application/json'"
        """ -d '{"event": {"email": "grace@example.com"}}'"""
    )
