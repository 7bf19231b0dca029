"""The doors to the description. It is made at the first question: to a console that nobody asks it costs nothing."""

from __future__ import annotations

from typing import ClassVar

from django.http import HttpResponse
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request

from mobius.projects.api.viewsets import ProjectViewSet
from mobius.projects.authentication import ApiKeyAuthentication, RoleAllows
from mobius.projects.roles import Permission

YAML = "application/yaml"
JSON = "application/json"


class DescriptionViewSet(ProjectViewSet):
    """For a key, as everything under `/v1`, and for whoever is signed in, whose browser draws it."""

    authentication_classes = (SessionAuthentication, ApiKeyAuthentication)
    permission_classes = (IsAuthenticated | RoleAllows,)
    needs: ClassVar = {"as_yaml": Permission.READ, "as_json": Permission.READ}

    def as_yaml(self, request: Request) -> HttpResponse:
        from mobius.openapi.document import as_yaml

        return HttpResponse(as_yaml(), content_type=YAML)

    def as_json(self, request: Request) -> HttpResponse:
        from mobius.openapi.document import as_json

        return HttpResponse(as_json(), content_type=JSON)
