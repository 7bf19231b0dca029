"""Mobius's Python client behind a pipe: a line of JSON for each call, and a line for what came of it.

Runs in a virtual environment of its own, beside no package of ours.
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

from deepnoodle.mobius import client as mobius
from deepnoodle.mobius import signing
from deepnoodle.mobius._api import models


def shown(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_none=True, by_alias=True)
    return value


def watch(client: mobius.Client, run_id: str, since: int = 0) -> list[dict[str, Any]]:
    return [
        {"sequence": event.sequence, "event_type": event.event_type} for event in client.watch_run(run_id, since=since)
    ]


CALLS: dict[str, Any] = {
    "create_loop": lambda client, name, spec: client.create_loop(mobius.LoopOptions(name=name, spec=spec)),
    "get_loop": lambda client, loop: client.get_loop(loop),
    "list_loops": lambda client, **asked: client.list_loops(mobius.ListLoopsOptions(**asked)),
    "update_loop": lambda client, loop, **changes: client.update_loop(loop, mobius.UpdateLoopOptions(**changes)),
    "delete_loop": lambda client, loop: client.delete_loop(loop),
    "start_run": lambda client, loop, **start: client.start_run(loop, mobius.StartRunOptions(**start)),
    "list_runs": lambda client, **asked: client.list_runs(mobius.ListRunsOptions(**asked)),
    "get_run": lambda client, run: client.get_run(run),
    "cancel_run": lambda client, run, reason=None: client.cancel_run(run, reason),
    "signal_run": lambda client, run, step, result: client.signal_run(run, step, result),
    "watch_run": watch,
    "wait_run": lambda client, run: client.wait_run(run, mobius.WaitRunOptions(timeout=60, reconnect_delay=0.2)),
    "list_action_invocations": lambda client, **asked: client.list_action_invocations(
        mobius.ListActionInvocationsOptions(**asked)
    ),
    "create_project": lambda client, adopt=False, external_ref=None, **fields: client.create_project(
        models.CreateProjectRequest(**fields), adopt_existing=adopt, external_ref=external_ref
    ),
    "list_principals": lambda client, **asked: client.list_principals(mobius.ListPrincipalsOptions(**asked)),
    "create_principal": lambda client, **fields: client.create_principal(models.CreatePrincipalRequest(**fields)),
    "get_principal": lambda client, principal: client.get_principal(principal),
    "update_principal": lambda client, principal, **changes: client.update_principal(
        principal, models.UpdatePrincipalRequest(**changes)
    ),
    "delete_principal": lambda client, principal: client.delete_principal(principal),
    "verify": lambda client, headers, body, key: signing.parse_webhook_delivery(
        signing.verify_signed_delivery(body, headers, key=base64.b64decode(key))
    ),
    # For what the client has no method for: its models, which refuse every field that they do not know.
    "check": lambda client, model, body: getattr(models, model).model_validate(body),
}


def told(error: Exception) -> dict[str, Any]:
    fields = ("status", "code", "details", "request_id", "retry_after")
    known = {name: getattr(error, name) for name in fields if getattr(error, name, None) is not None}
    return {"type": type(error).__name__, "message": str(error)} | known


def main() -> None:
    client = mobius.Client(mobius.ClientOptions(**json.loads(sys.stdin.readline())))
    for line in sys.stdin:
        call = json.loads(line)
        try:
            outcome = {"value": shown(CALLS[call["name"]](client, *call["args"], **call["options"]))}
        except Exception as error:
            outcome = {"error": told(error)}
        sys.stdout.write(json.dumps(outcome, default=str) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
