"""`/v1`: the catalog of actions, and calling one (mobius-contract §5)."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from integrations.catalog import CatalogEntry, catalog_of, entry_of
from integrations.invoking import Called, CallStatus, invoke
from mobius.api.serializing import RequestSerializer
from mobius.errors import BadRequest
from mobius.projects.api.viewsets import ProjectViewSet
from mobius.projects.roles import Permission, Role

_DEFAULT_SECONDS, _MOST_SECONDS = 30, 120


class InvokeSerializer(RequestSerializer):
    input = serializers.DictField(required=False, default=dict)
    timeout_seconds = serializers.IntegerField(
        min_value=1, max_value=_MOST_SECONDS, required=False, default=_DEFAULT_SECONDS
    )
    dry_run = serializers.BooleanField(required=False, default=False)


class ActionViewSet(ProjectViewSet):
    needs: ClassVar = {"list": Permission.READ, "retrieve": Permission.READ, "invoke": Permission.OPERATE}

    def list(self, request: Request, project: str) -> Response:
        return Response({"items": [entry_json(one) for one in catalog_of(self.project, may_call=self._may_call)]})

    def retrieve(self, request: Request, project: str, action: str) -> Response:
        return Response(entry_json(entry_of(self.project, action, may_call=self._may_call)))

    def invoke(self, request: Request, project: str, action: str) -> Response:
        """200 with the outcome, also of a failure; 202 when it takes longer than the caller waits."""
        entry_of(self.project, action, may_call=True)
        wanted = InvokeSerializer.read(request.data)
        if wanted["dry_run"]:
            raise BadRequest("dry_run is for actions that only read; this one makes a row. Nothing was sent.")
        called = invoke(self.project, action, wanted["input"], timeout_seconds=wanted["timeout_seconds"], by=self.actor)
        return Response(called_json(called), status=202 if called.status == CallStatus.ACTIVE else 200)

    @property
    def _may_call(self) -> bool:
        return Role(self.key.role).allows(Permission.OPERATE)


def entry_json(entry: CatalogEntry) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "name": entry.name,
        "title": entry.action.title,
        "description": entry.action.description,
        "source": "platform",
        "definition_scope": "platform",
        "integration": entry.provider.id,
        "endpoint_kind": "builtin",  # so that no webhook's address shows
        "readiness": "needs_setup" if entry.missing else "ready",
        "risk": "medium",
        "annotations": {"idempotent": False, "destructive": False, "read_only": False},
        "input_schema": entry.action.input_schema,
        "output_schema": entry.action.output_schema,
        "execution": {"supported_locations": ["managed"], "default_location": "managed"},
    }
    return shown | ({"readiness_reason": entry.missing.value} if entry.missing else {})


def called_json(called: Called) -> dict[str, Any]:
    shown: dict[str, Any] = {"status": called.status.value}
    if called.attempt_id:
        shown["job_id"] = called.attempt_id
    if called.status == CallStatus.COMPLETED:
        shown["output"] = called.output
    if called.status == CallStatus.FAILED:
        shown["error"] = called.error
    return shown
