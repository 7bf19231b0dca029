"""Who may open a page of a project."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any

from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse

from mobius import errors
from mobius.projects.access import Access, access_for
from mobius.projects.auditing import Actor, person
from mobius.projects.roles import Permission
from mobius.projects.throttling import network_of

Page = Callable[..., HttpResponseBase]


_LONGEST_NAME = 255  # of a typed user name, as it is remembered


def typed_name(request: HttpRequest, credentials: Mapping[str, Any] | None = None) -> str:
    """The user name that somebody tries, as far as the record of failures can hold it."""
    name = (credentials or request.POST).get("username") or ""
    return str(name)[:_LONGEST_NAME]


def typing_address(request: HttpRequest) -> str | None:
    """Where somebody types wrong passwords from, as it is remembered; None where the server knows no address."""
    network = network_of(request.META.get("REMOTE_ADDR", "")).partition("/")[0]
    try:
        return str(ip_address(network))
    except ValueError:
        return None


class ProjectRequest(HttpRequest):
    """A request to a page of a project, by somebody who is signed in and may see it."""

    user: User
    access: Access
    actor: Actor  # for the audit


def _to_sign_in(request: HttpRequest, handle: str) -> HttpResponseBase:
    """A part that refreshes itself must not draw the sign-in into the page: it lets the browser go there."""
    if "HTTP_HX_REQUEST" in request.META:
        return HttpResponse(status=204, headers={"HX-Refresh": "true"})
    if request.method not in ("GET", "HEAD"):  # what was sent is gone, and its address may show nothing
        return redirect_to_login(reverse("console:home", args=[handle]))
    return redirect_to_login(request.get_full_path())


def project_page(needs: Permission) -> Callable[[Page], Page]:
    """For views `page(request, project, …)` at addresses with a `handle`; `request.access` says what else is allowed.

    Strangers are asked to sign in; a project that they may not see is not found; too low a role gets the 403 page.
    """

    def decorate(page: Page) -> Page:
        @functools.wraps(page)
        def with_project(request: Any, handle: str, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return _to_sign_in(request, handle)
            try:
                request.access = access_for(request.user, handle)
                request.access.demand(needs)
            except errors.NotFound as error:
                raise Http404(error.message) from None
            except errors.PermissionDenied as error:
                raise PermissionDenied(error.message) from None
            request.actor = person(request.user, ip=request.META.get("REMOTE_ADDR", ""))
            return page(request, request.access.project, *args, **kwargs)

        with_project.needs = needs  # type: ignore[attr-defined]  # for whoever looks at the URL map
        return with_project

    return decorate
