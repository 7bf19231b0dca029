"""`/v1`: what needs a person."""

from __future__ import annotations

from typing import ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from mobius.alerting.models import Alert
from mobius.alerting.telling import alert_json
from mobius.api.pagination import page
from mobius.projects.api.viewsets import ProjectViewSet
from mobius.projects.roles import Permission


class AlertViewSet(ProjectViewSet):
    """Open alerts, the latest first."""

    needs: ClassVar = {"list": Permission.READ}

    def list(self, request: Request, project: str) -> Response:
        alerts = Alert.objects.of_project(self.project).open().select_related("project")
        return Response(page(alerts, request.query_params, serialize=alert_json))
