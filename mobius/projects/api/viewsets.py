"""What every view below `/v1/projects/{project}/` starts from."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework import viewsets
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request

from mobius.api.envelope import describe
from mobius.projects.auditing import Actor, key_holder
from mobius.projects.key_models import ApiKey
from mobius.projects.models import Project
from mobius.projects.refusals import note_refusal
from mobius.projects.roles import Permission


class JsonOnly(BaseContentNegotiation):
    """There is one parser and one renderer, whatever `Accept` says: every answer of ours is JSON."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class ProjectViewSet(viewsets.ViewSet):
    """A view under `/v1/projects/{project}/`. Its objects come from `self.project`, so that no other's can leak."""

    content_negotiation_class = JsonOnly
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]
    needs: ClassVar[dict[str, Permission]] = {}  # action → permission, every action
    # Set by the door (mobius/projects/authentication.py):
    project: Project
    caller: ApiKey | None = None  # None while nobody was let in

    def handle_exception(self, exc: Exception) -> Any:
        """The answer to `exc`; a refusal of a call with a live key is noted for those who look for its cause."""
        response = super().handle_exception(exc)
        if self.caller is not None and 400 <= response.status_code < 500:
            problem = describe(exc)
            note_refusal(
                self.caller,
                method=str(self.request.method),
                path=self.request.path,
                status=problem.status,
                code=problem.body()["error"]["code"],
                fields=problem.details.get("fields", ()),
            )
        return response

    @property
    def key(self) -> ApiKey:
        key: ApiKey = self.request.auth  # type: ignore[assignment]  # stubs know DRF's own tokens only
        return key

    @property
    def actor(self) -> Actor:
        """Who is calling, for the audit."""
        return key_holder(self.key, ip=self.request.META.get("REMOTE_ADDR", ""))
