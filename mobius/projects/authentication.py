"""The API's door: which key is this, which project does the address name, may the key do that there?"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from mobius.errors import NotFound, PermissionDenied, Unauthorized
from mobius.projects import throttling
from mobius.projects.founding import project_for
from mobius.projects.key_models import ApiKey
from mobius.projects.keys import recognise
from mobius.projects.roles import Permission, Role
from mobius.projects.uses import note_use


def key_of(request: HttpRequest) -> ApiKey | None:
    """The key that the request bears; None when it bears none.

    Raises Unauthorized for a key that opens nothing, and RateLimitExceeded when it, or its address, asks too much.
    """
    scheme, _, credential = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    try:
        key = recognise(credential.strip())
    except Unauthorized:
        throttling.note_failed_key(request.META.get("REMOTE_ADDR", ""))
        raise
    throttling.take_request(key)
    note_use(key, address=request.META.get("REMOTE_ADDR", ""), client=request.META.get("HTTP_USER_AGENT", ""))
    return key


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer mbx_…`, and nothing else: no session, no query parameter."""

    def authenticate(self, request: Request) -> tuple[None, ApiKey]:
        key = key_of(request)
        if key is None:
            raise Unauthorized
        return None, key

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class RoleAllows(BasePermission):
    """The view says which permission each of its actions needs; the key's role must have it."""

    def has_permission(self, request: Request, view: Any) -> bool:
        key: ApiKey = request.auth  # type: ignore[assignment]  # stubs know DRF's own tokens only
        view.caller = key
        handle = view.kwargs.get("project")
        view.project = key.project if handle in (None, key.project.handle) else project_for(key, handle)
        if view.action is None or view.action == "metadata":  # no such method here, as OPTIONS: the view answers 405
            return True
        needed: Permission = view.needs[view.action]
        if view.project.deleted_at is not None and needed != Permission.CALL_BACK:  # what runs there still goes on
            raise NotFound("There is no such project.")
        if not Role(key.role).allows(needed):
            raise PermissionDenied(
                f"A key of role {key.role} may not do this; it needs the permission “{needed.value}”.",
                details={"permission": needed.value},
            )
        return True
