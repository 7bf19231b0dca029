"""What a page starts people off with: a small loop that works, an event that fits it, and a curl that can be pasted."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

from django.conf import settings

from loops.models import Loop, Run
from loops.spec import DeclaredInput, LoopSpec

JsonObject = dict[str, Any]

STARTER_LOOP: JsonObject = {
    "name": "push-leads",
    "description": "Pushes one lead into the Clay table.",
    "schema_version": "1",
    "event": {
        "email": {"type": "string", "required": True, "description": "Whom to push."},
        "company_domain": {"type": "string", "default": ""},
    },
    "steps": [
        {
            "id": "push",
            "name": "Push the lead into Clay",
            "kind": "action",
            "retry": {"max_attempts": 3, "delay": "2s"},
            "config": {
                "action_name": "clay.webhook.submit",
                "parameters": {
                    "payload": {"email": "${{ event.email }}", "company_domain": "${{ event.company_domain }}"},
                    "request_id": "${{ meta.run_id }}",
                },
            },
        }
    ],
}

_LONGEST_REMEMBERED = 10_000  # characters of an earlier event that are offered again
_EVENT_NAME = re.compile(r"\bevent\.([A-Za-z_][A-Za-z0-9_]{0,60})")
_BY_NAME = {
    "email": "ada@example.com",
    "company_domain": "example.com",
    "domain": "example.com",
    "name": "Ada Lovelace",
    "first_name": "Ada",
    "last_name": "Lovelace",
    "company": "Example Ltd",
}
_BY_TYPE: dict[str, Any] = {"number": 1, "integer": 1, "boolean": True, "object": {}, "array": []}


def example_event(spec: LoopSpec, last_run: Run | None = None) -> JsonObject:
    """An event to start from: what the loop declares, else what the last run had, else what its steps read."""
    if spec.event:
        return {name: _example(name, declared) for name, declared in spec.event.items()}
    if last_run is not None and last_run.event and len(json.dumps(last_run.event)) <= _LONGEST_REMEMBERED:
        event: JsonObject = last_run.event
        return event
    names = dict.fromkeys(_EVENT_NAME.findall(json.dumps(spec.authored)))
    return {name: _text(name) for name in names}


def start_curl(loop: Loop, event: JsonObject) -> str:
    """A start of `loop` over the API, for a shell in which MOBIUS_API_KEY is set."""
    address = f"{settings.MOBIUS_PUBLIC_URL}/v1/projects/{loop.project.handle}/loops/{loop.pk}/runs"
    return (
        f"curl -X POST {shlex.quote(address)} \\\n"
        '  -H "Authorization: Bearer $MOBIUS_API_KEY" \\\n'
        "  -H 'Content-Type: application/json' \\\n"
        f"  -d {shlex.quote(json.dumps({'event': event}))}"
    )


def _example(name: str, declared: DeclaredInput) -> Any:
    if declared.has_default and declared.default not in (None, ""):
        return declared.default
    return _BY_TYPE.get(declared.type) if declared.type in _BY_TYPE else _text(name)


def _text(name: str) -> str:
    return _BY_NAME.get(name.lower(), f"example {name.replace('_', ' ')}")
