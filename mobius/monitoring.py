"""Who may read `/metrics`, and of what."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from mobius.api.envelope import answer
from mobius.errors import MobiusError, PermissionDenied, Unauthorized
from mobius.metrics import Sample, of_console, of_project, text_of
from mobius.projects.authentication import key_of
from mobius.projects.roles import Permission, Role


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """A project's own with any key of it that may read; the whole console's with MOBIUS_METRICS_KEY or as superuser."""
    try:
        samples = _readable_by(request)
    except MobiusError as error:
        return answer(error, request)
    return HttpResponse(text_of(samples), content_type="text/plain; version=0.0.4; charset=utf-8")


def _readable_by(request: HttpRequest) -> Iterable[Sample]:
    """Raises Unauthorized, PermissionDenied and RateLimitExceeded."""
    scheme, _, credential = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if not scheme:
        return _readable_by_person(request)
    if scheme.lower() == "bearer" and _is_ours(credential.strip()):
        return of_console()
    key = key_of(request)
    if key is None or key.project.deleted_at is not None:
        raise Unauthorized
    if not Role(key.role).allows(Permission.READ):
        raise PermissionDenied(f"A key of role {key.role} may not read metrics; use one of role viewer.")
    return of_project(key.project)


def _is_ours(credential: str) -> bool:
    ours: str = settings.MOBIUS_METRICS_KEY
    return bool(ours) and hmac.compare_digest(credential.encode(errors="replace"), ours.encode())


def _readable_by_person(request: HttpRequest) -> Iterable[Sample]:
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        raise Unauthorized
    if not user.is_superuser:
        raise PermissionDenied("Only a superuser sees the metrics of the whole console; a project's need a key of it.")
    return of_console()
