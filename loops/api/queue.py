"""`/v1`: the rows that wait at an integration."""

from __future__ import annotations

from typing import ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from integrations.models import Integration
from loops.api.serializing import queue_json
from loops.queue import discard, queue_of
from mobius.api.serializing import RequestSerializer
from mobius.errors import NotFound
from mobius.projects.api.viewsets import ProjectViewSet
from mobius.projects.roles import Permission


class QueueViewSet(ProjectViewSet):
    needs: ClassVar = {"retrieve": Permission.READ, "discard": Permission.OPERATE}

    def retrieve(self, request: Request, project: str, integration: str) -> Response:
        """How many rows wait, and what sending them would take."""
        return Response(queue_json(queue_of(self._integration(integration))))

    def discard(self, request: Request, project: str, integration: str) -> Response:
        """Cancel the runs whose rows wait."""
        RequestSerializer.read(request.data)
        return Response({"discarded": discard(self._integration(integration), by=self.actor)})

    def _integration(self, integration_id: str) -> Integration:
        found = Integration.objects.filter(project=self.project, pk=integration_id).select_related("pacer").first()
        if found is None:
            raise NotFound("There is no such integration.")
        return found
