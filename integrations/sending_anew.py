"""A row goes out once more as another row: under a request_id of its own, because somebody asked for just that.

It is a direct call of the row's action (`invoking`): at the workspace's pace, within the webhook's budget, written down
before it leaves. The run that sent the row first is left as it is.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

from integrations.invoking import Called, invoke
from integrations.models import Attempt, AttemptKind
from integrations.parcels import LONGEST_REQUEST_ID
from integrations.providers.contract import CALLBACK_PLACEHOLDER
from mobius.errors import Conflict
from mobius.projects import auditing
from mobius.projects.auditing import Actor

DEED = "delivery.send_anew"  # in the audit, with the first delivery as its object
_WAITS_SECONDS = 15.0  # for a slot and an answer: somebody looks at the page meanwhile


class NotAnew(Conflict):
    """This row cannot be sent as a new request."""


def why_not_anew(attempt: Attempt) -> str:
    """Why this row cannot go out as a new request; "" when it can."""
    if attempt.is_open:
        return "Nobody knows yet whether it arrived."
    if attempt.kind == AttemptKind.TEST:
        return "It was a test: test the webhook again."
    if not attempt.body:
        return "What it held is purged."
    if attempt.integration_id is None:
        return "Its integration is disconnected."
    if CALLBACK_PLACEHOLDER in attempt.body:
        return "Its result comes back to the run that sends it, so a new run has to send it."
    return ""


def new_request_id(attempt: Attempt) -> str:
    """Tells the new row from the old one, and shows where it came from. "" for a row without one: none is invented."""
    if not attempt.request_id:
        return ""
    end = f"-again-{secrets.token_hex(3)}"
    return attempt.request_id[: LONGEST_REQUEST_ID - len(end)] + end


def send_anew(attempt: Attempt, *, request_id: str, reason: str, by: Actor) -> Called:
    """Send the row of `attempt` as another one under `request_id`.

    The same `request_id` twice, such as by a double click, makes one row, unless the integration may send a row twice.
    Raises NotAnew and what `invoke` raises; then nothing was sent.
    """
    if refusal := why_not_anew(attempt):
        raise NotAnew(f"{refusal} Nothing was sent.")
    if request_id == attempt.request_id and request_id:
        raise NotAnew("A new request has another request_id than the first one.")
    payload: dict[str, Any] = json.loads(attempt.body)
    if request_id:
        payload["request_id"] = request_id
    parameters = {"integration": attempt.integration_id, "payload": payload}
    called = invoke(attempt.project, attempt.action, parameters, timeout_seconds=_WAITS_SECONDS, by=by)
    if called.attempt_id:
        auditing.record(
            by,
            DEED,
            project_id=attempt.project_id,
            kind="delivery",
            id=attempt.pk,
            name=attempt.request_id,
            reason=f"Sent as {called.attempt_id}. {reason}".strip(),
        )
    return called
