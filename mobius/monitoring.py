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
from mobius.projects import throttling
from mobius.projects.keys import recognise
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
    """Raises Unauthorized and PermissionDenied."""
    scheme, _, credential = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if not scheme:
        return _readable_by_person(request)
    if scheme.lower() != "bearer":
        raise Unauthorized
    ours: str = settings.MOBIUS_METRICS_KEY
    if ours and hmac.compare_digest(credential.strip().encode(errors="replace"), ours.encode()):
        return of_console()
    try:
        key = recognise(credential.strip())
    except Unauthorized:
        throttling.note_failed_key(request.META.get("REMOTE_ADDR", ""))
        raise
    throttling.take_request(key)
    if not Role(key.role).allows(Permission.READ):
        raise PermissionDenied(f"A key of role {key.role} may not read metrics; use one of role viewer.")
    return of_project(key.project)


def _readable_by_person(request: HttpRequest) -> Iterable[Sample]:
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        raise Unauthorized
    if not user.is_superuser:
        raise PermissionDenied("Only a superuser sees the metrics of the whole console; a project's need a key of it.")
    return of_console()
