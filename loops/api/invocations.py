"""`/v1`: the calls of actions as an audit (mobius-contract §5.4)."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from integrations.judging import error_type
from integrations.models import Attempt, AttemptQuerySet, AttemptState
from loops.invocations import Invocation, invocations
from loops.models import Step
from mobius.api.pagination import page
from mobius.api.serializing import timestamp
from mobius.errors import NotFound
from mobius.projects.api.viewsets import ProjectViewSet
from mobius.projects.roles import Permission

JsonObject = dict[str, Any]

_OURS = {"run_id": "run_id", "action_name": "action", "job_id": "pk", "delivery_id": "pk"}
# Mobius has environments, custom actions, signed deliveries and correlations; no call of this console belongs to any.
_NOBODY_S = ("environment_id", "action_id", "secret_version", "correlation_id")


class InvocationViewSet(ProjectViewSet):
    needs: ClassVar = {"list": Permission.READ, "retrieve": Permission.READ}

    def list(self, request: Request, project: str) -> Response:
        found = _filtered(Attempt.objects.calls_in(self.project).without_bodies(), request)
        return Response(
            page(found, request.query_params, serialize_all=lambda some: [_json(one) for one in invocations(some)])
        )

    def retrieve(self, request: Request, project: str, invocation: str) -> Response:
        """Also with what the action was called with."""
        attempt = Attempt.objects.calls_in(self.project).filter(pk=invocation).first()
        if attempt is None:
            raise NotFound("There is no such invocation.")
        return Response(_json(invocations([attempt])[0]) | _parameters(attempt))


def _filtered(attempts: AttemptQuerySet, request: Request) -> AttemptQuerySet:
    asked = {name: value for name, value in request.query_params.items() if value}
    if any(name in asked for name in _NOBODY_S) or asked.get("definition_scope", "platform") != "platform":
        return attempts.none()
    for name, field in _OURS.items():
        if name in asked:
            attempts = attempts.filter(**{field: asked[name]})
    match asked.get("status"):
        case None:
            return attempts
        case "success":
            return attempts.in_state(AttemptState.ACCEPTED)
        case "failed":
            return attempts.exclude(state=AttemptState.ACCEPTED)
    return attempts.none()


def _json(invocation: Invocation) -> JsonObject:
    attempt = invocation.attempt
    shown: JsonObject = {
        "id": attempt.pk,
        "action_name": attempt.action,
        "definition_scope": "platform",
        "source": "loop" if attempt.run_id else "direct",
        "retry_count": attempt.number - 1,
        "delivery_id": attempt.pk,
        "started_at": timestamp(attempt.created_at),
        "finished_at": timestamp(attempt.finished_at),
    }
    if attempt.status_code is not None and 100 <= attempt.status_code <= 599:
        shown["http_status"] = attempt.status_code
    return shown | _outcome(attempt) | (_of_run(invocation) if attempt.run_id else _of_caller(invocation))


def _outcome(attempt: Attempt) -> JsonObject:
    if attempt.state == AttemptState.ACCEPTED:
        summary: JsonObject = {"ok": True}
        if attempt.status_code is not None:
            summary["status_code"] = attempt.status_code
        if attempt.request_id:
            summary["request_id"] = attempt.request_id
        return {"status": "success", "output_summary": summary}
    abandoned = attempt.state == AttemptState.ABANDONED
    kind = "delivery_abandoned" if abandoned else error_type(AttemptState(attempt.state), attempt.status_code)
    return {"status": "failed", "error_type": kind, "error_message": attempt.error_message}


def _of_run(invocation: Invocation) -> JsonObject:
    shown: JsonObject = {"run_id": invocation.attempt.run_id}
    if invocation.run is not None:
        shown["loop_id"] = invocation.run.loop_id
    if invocation.step is not None:
        shown["step_name"] = invocation.step.name or invocation.step.key
    return shown


def _of_caller(invocation: Invocation) -> JsonObject:
    shown: JsonObject = {"job_id": invocation.attempt.pk}
    if invocation.principal_id:
        shown |= {"actor_principal_id": invocation.principal_id, "actor_principal_type": "service"}
    return shown


def _parameters(attempt: Attempt) -> JsonObject:
    """A step keeps its own; of a direct call it is the row that went out. A purge leaves neither."""
    if attempt.run_id:
        inputs = Step.objects.filter(pk=attempt.step_id).values_list("inputs", flat=True).first()
        return {"parameters": inputs} if inputs else {}
    return {"parameters": {"payload": json.loads(attempt.body)}} if attempt.body else {}
