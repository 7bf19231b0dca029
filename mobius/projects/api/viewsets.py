"""What every view below `/v1/projects/{project}/` starts from."""

from __future__ import annotations

from typing import ClassVar

from rest_framework import viewsets

from mobius.projects.models import ApiKey, Project
from mobius.projects.roles import Permission


class ProjectViewSet(viewsets.ViewSet):
    """A view under `/v1/projects/{project}/`. Its objects come from `self.project`, so that no other's can leak."""

    needs: ClassVar[dict[str, Permission]] = {}  # action → permission, every action

    @property
    def key(self) -> ApiKey:
        key: ApiKey = self.request.auth  # type: ignore[assignment]  # stubs know DRF's own tokens only
        return key

    @property
    def project(self) -> Project:
        return self.key.project
