"""Calls of actions, by runs and directly, as an audit tells them: each attempt with who made it and for what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from integrations.invoking import DEED
from integrations.models import Attempt
from loops.models import Run, Step
from mobius.projects.audit_models import AuditEvent
from mobius.projects.key_models import ApiKey


@dataclass(frozen=True, kw_only=True)
class Invocation:
    attempt: Attempt
    run: Run | None = None
    step: Step | None = None  # without its data
    principal_id: str = ""  # who called directly, with an API key


def invocations(attempts: list[Attempt]) -> list[Invocation]:
    """The circumstances of many attempts, in a fixed number of queries."""
    runs = Run.objects.only("loop_id").in_bulk({one.run_id for one in attempts if one.run_id})
    steps = Step.objects.only("key", "name").in_bulk({one.step_id for one in attempts if one.step_id})
    principals = _principals(one.pk for one in attempts if not one.run_id)
    return [
        Invocation(
            attempt=one,
            run=runs.get(one.run_id),
            step=steps.get(one.step_id),
            principal_id=principals.get(one.pk, ""),
        )
        for one in attempts
    ]


def _principals(attempt_ids: Iterable[str]) -> dict[str, str]:
    """Whose keys made these direct calls, from the audit."""
    noted = AuditEvent.objects.filter(object_id__in=list(attempt_ids), action=DEED)
    keys = dict(noted.values_list("object_id", "actor_id"))
    principal_of = dict(ApiKey.objects.filter(pk__in=keys.values()).values_list("pk", "principal_id"))
    return {attempt: principal_of[key] for attempt, key in keys.items() if key in principal_of}
