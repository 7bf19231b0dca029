"""`/v1/projects` (mobius-contract §2)."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from mobius.api.pagination import page
from mobius.api.serializing import RequestSerializer, TagsField, timestamp, without_nulls
from mobius.projects.api.viewsets import ProjectViewSet
from mobius.projects.founding import adopt_or_create_project, create_project, delete_project, update_project
from mobius.projects.models import Project
from mobius.projects.roles import Permission, Role

_MODES = "A project of this console is seen by its members only: send restricted, or leave this away."


def project_json(project: Project) -> dict[str, Any]:
    return without_nulls(
        {
            "id": project.pk,
            "name": project.name,
            "handle": project.handle,
            "access_mode": "restricted",
            "description": project.description or None,
            "external_ref": project.external_ref or None,
            "created_by": project.created_by or None,
            "tags": project.tags or None,
            "created_at": timestamp(project.created_at),
            "updated_at": timestamp(project.updated_at),
        }
    )


class ChangedProjectSerializer(RequestSerializer):
    name = serializers.CharField(max_length=200, required=False)
    description = serializers.CharField(max_length=1000, required=False, allow_blank=True)
    external_ref = serializers.CharField(max_length=255, required=False)
    access_mode = serializers.ChoiceField(
        choices=["restricted"], required=False, error_messages={"invalid_choice": _MODES}
    )
    seed_existing_members = serializers.BooleanField(required=False)  # means something for open projects only
    tags = TagsField(required=False)


class NewProjectSerializer(ChangedProjectSerializer):
    name = serializers.CharField(max_length=200)
    handle = serializers.CharField(max_length=63, required=False)
    if_exists = serializers.ChoiceField(choices=["error", "adopt"], required=False, default="error")
    seed_existing_members = None  # type: ignore[assignment]  # a new project has no members yet

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["if_exists"] == "adopt" and not attrs.get("external_ref"):
            raise serializers.ValidationError({"external_ref": ["if_exists: adopt needs an external_ref."]})
        return attrs


class ProjectDirectory(ProjectViewSet):
    """The project that a key acts in; for an admin's key also those that were made with a key of it."""

    needs: ClassVar = {
        "list": Permission.READ,
        "create": Permission.ADMINISTER,
        "retrieve": Permission.READ,
        "partial_update": Permission.ADMINISTER,
        "destroy": Permission.ADMINISTER,
        "capabilities": Permission.READ,
    }

    def list(self, request: Request) -> Response:
        projects = Project.objects.within_reach_of(self.key)
        if search := request.query_params.get("search"):
            projects = projects.mentioning(search)
        if tags := [tag for tag in ",".join(request.query_params.getlist("tag")).split(",") if tag]:
            projects = projects.tagged(tags)
        return Response(page(projects, request.query_params, serialize=project_json))

    def create(self, request: Request) -> Response:
        wanted = NewProjectSerializer.read(request.data)
        wanted.pop("access_mode", None)
        if wanted.pop("if_exists") == "adopt":
            founded = adopt_or_create_project(**wanted, by=self.actor, maker=self.key)
            return Response(project_json(founded.project), status=201 if founded.created else 200)
        return Response(project_json(create_project(**wanted, by=self.actor, maker=self.key)), status=201)

    def retrieve(self, request: Request, project: str) -> Response:
        return Response(project_json(self.project))

    def partial_update(self, request: Request, project: str) -> Response:
        changes = ChangedProjectSerializer.read(request.data)
        changes = {name: value for name, value in changes.items() if name in _WRITTEN}
        return Response(project_json(update_project(self.project, changes, by=self.actor)))

    def destroy(self, request: Request, project: str) -> Response:
        delete_project(self.project, by=self.actor)
        return Response(status=204)

    def capabilities(self, request: Request, project: str) -> Response:
        manages = Role(self.key.role).allows(Permission.ADMINISTER)
        return Response({"can_manage_project": manages, "can_manage_access": manages})


_WRITTEN = ("name", "description", "external_ref", "tags")
