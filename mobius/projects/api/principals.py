"""`/v1/projects/{project}/principals` (mobius-contract §3)."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from mobius.api.pagination import page_of
from mobius.api.serializing import RequestSerializer, TagsField, timestamp, without_nulls
from mobius.errors import InvalidFields, NotFound
from mobius.projects.api.viewsets import ProjectViewSet
from mobius.projects.key_models import PrincipalState, ServicePrincipal
from mobius.projects.principals import create_principal, delete_principal, update_principal
from mobius.projects.roles import Permission, Role

KIND = "service"
OTHER_KINDS = ("agent", "system")  # Mobius has them; this console does not


def principal_json(principal: ServicePrincipal) -> dict[str, Any]:
    return without_nulls(
        {
            "id": principal.pk,
            "kind": KIND,
            "state": principal.state,
            "name": principal.name,
            "description": principal.description or None,
            "role_ids": [principal.role] if principal.role else [],
            "metadata": principal.metadata or None,
            "tags": principal.tags or None,
            "created_at": timestamp(principal.created_at),
            "updated_at": timestamp(principal.updated_at),
        }
    )


class RoleIdsField(serializers.ListField):
    """Our roles include each other, so a principal has one at most."""

    child = serializers.ChoiceField(choices=Role.choices)
    default_error_messages: ClassVar = {
        "max_length": "Send one role at most: admin includes operator, operator includes viewer."
    }


class ChangedPrincipalSerializer(RequestSerializer):
    description = serializers.CharField(max_length=1000, required=False, allow_blank=True)
    role_ids = RoleIdsField(max_length=1, required=False)
    state = serializers.ChoiceField(choices=[PrincipalState.ACTIVE, PrincipalState.DISABLED], required=False)
    metadata = serializers.DictField(required=False)
    tags = TagsField(required=False)


class NewPrincipalSerializer(ChangedPrincipalSerializer):
    name = serializers.CharField(max_length=200)
    state = None  # type: ignore[assignment]  # a new one is active


class PrincipalViewSet(ProjectViewSet):
    needs: ClassVar = {
        "list": Permission.READ,
        "create": Permission.ADMINISTER,
        "retrieve": Permission.READ,
        "partial_update": Permission.ADMINISTER,
        "destroy": Permission.ADMINISTER,
    }

    def list(self, request: Request, project: str) -> Response:
        kind = request.query_params.get("kind", KIND)
        if kind not in (KIND, *OTHER_KINDS):
            raise InvalidFields({"kind": [f"Send one of {', '.join((KIND, *OTHER_KINDS))}."]})
        found = self.project.principals.present() if kind == KIND else self.project.principals.none()
        if request.query_params.get("include_disabled", "false") != "true":
            found = found.active()
        # The contract's list has no cursor, so without a limit it is as long as a page may be.
        items = page_of(found, request.query_params, default_limit=100).items
        return Response({"items": [principal_json(principal) for principal in items]})

    def create(self, request: Request, project: str) -> Response:
        wanted = _with_role(NewPrincipalSerializer.read(request.data))
        return Response(principal_json(create_principal(project=self.project, by=self.actor, **wanted)), status=201)

    def retrieve(self, request: Request, project: str, principal: str) -> Response:
        return Response(principal_json(self._principal(principal)))

    def partial_update(self, request: Request, project: str, principal: str) -> Response:
        changes = _with_role(ChangedPrincipalSerializer.read(request.data))
        return Response(principal_json(update_principal(self._principal(principal), changes, by=self.actor)))

    def destroy(self, request: Request, project: str, principal: str) -> Response:
        delete_principal(self._principal(principal), by=self.actor)
        return Response(status=204)

    def _principal(self, principal_id: str) -> ServicePrincipal:
        found = self.project.principals.filter(pk=principal_id).first()
        if found is None:
            raise NotFound("There is no such service principal.")
        return found


def _with_role(fields: dict[str, Any]) -> dict[str, Any]:
    """The one role of `role_ids` in its place."""
    if "role_ids" in fields:
        fields["role"] = next(iter(fields.pop("role_ids")), "")
    return fields
