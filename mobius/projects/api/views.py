"""`/v1`: API keys and the audit."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import StreamingHttpResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from mobius.api.downloads import FORMATS
from mobius.api.pagination import page
from mobius.api.serializing import RequestSerializer, TagsField, timestamp, without_nulls
from mobius.errors import InvalidFields, NotFound
from mobius.projects.api.viewsets import ProjectViewSet
from mobius.projects.audit_export import audit_json, export
from mobius.projects.audit_search import found_in
from mobius.projects.key_models import ApiKey, ServicePrincipal
from mobius.projects.keys import create_key, revoke
from mobius.projects.roles import Permission, Role


def key_json(key: ApiKey) -> dict[str, Any]:
    return without_nulls(
        {
            "id": key.pk,
            "name": key.name,
            "key_prefix": key.key_prefix,
            "principal_id": key.principal_id,
            "scope_role_id": key.role,
            "tags": key.tags or None,
            "expires_at": timestamp(key.expires_at),
            "last_used_at": timestamp(key.last_used_at),
            "created_at": timestamp(key.created_at),
            "updated_at": timestamp(key.updated_at),
        }
    )


class NewKeySerializer(RequestSerializer):
    name = serializers.CharField(max_length=200)
    principal_id = serializers.CharField(max_length=64, required=False)
    scope_role_id = serializers.ChoiceField(choices=Role.choices, required=False)
    # A key without a role would open nothing, so with us there is none: accepted and ignored.
    allow_unassigned_principal = serializers.BooleanField(required=False)
    expires_at = serializers.DateTimeField(required=False)
    tags = TagsField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "principal_id" not in attrs and "scope_role_id" not in attrs:
            sentence = f"Say what the key may do: {', '.join(Role.values)}. Or name a principal that has a role."
            raise serializers.ValidationError({"scope_role_id": [sentence]})
        return attrs


class ApiKeyViewSet(ProjectViewSet):
    needs: ClassVar = {
        "list": Permission.ADMINISTER,
        "create": Permission.ADMINISTER,
        "retrieve": Permission.ADMINISTER,
        "destroy": Permission.ADMINISTER,
    }

    def list(self, request: Request, project: str) -> Response:
        keys = ApiKey.objects.filter(project=self.project, revoked_at=None)
        return Response(page(keys, request.query_params, serialize=key_json))

    def create(self, request: Request, project: str) -> Response:
        wanted = NewKeySerializer.read(request.data)
        made = create_key(
            project=self.project,
            name=wanted["name"],
            role=Role(wanted["scope_role_id"]) if "scope_role_id" in wanted else None,
            principal=self._principal(wanted.get("principal_id", "")),
            expires_at=wanted.get("expires_at"),
            tags=wanted.get("tags"),
            by=self.actor,
        )
        return Response(key_json(made.record) | {"key": made.text}, status=201)

    def retrieve(self, request: Request, project: str, key: str) -> Response:
        return Response(key_json(self._key(key)))

    def destroy(self, request: Request, project: str, key: str) -> Response:
        revoke(self._key(key), by=self.actor)
        return Response(status=204)

    def _key(self, key_id: str) -> ApiKey:
        key = ApiKey.objects.filter(project=self.project, pk=key_id).first()
        if key is None:
            raise NotFound("There is no such API key.")
        return key

    def _principal(self, principal_id: str) -> ServicePrincipal | None:
        if not principal_id:
            return None
        principal = self.project.principals.present().filter(pk=principal_id).first()
        if principal is None:
            raise InvalidFields({"principal_id": ["There is no such service principal in this project."]})
        return principal


class AuditViewSet(ProjectViewSet):
    needs: ClassVar = {"list": Permission.READ, "export": Permission.READ}

    def list(self, request: Request, project: str) -> Response:
        found = found_in(self.project, request.query_params)
        return Response(page(found, request.query_params, serialize=audit_json))

    def export(self, request: Request, project: str, kind: str) -> StreamingHttpResponse:
        if kind not in FORMATS:
            raise NotFound("Ask for export.csv or export.jsonl.")
        found = found_in(self.project, request.query_params)
        return export(found, format=kind, name=f"audit-{self.project.handle}")
