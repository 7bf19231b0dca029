"""How long a browser stays signed in, and what its caches may keep."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse

Chain = Callable[[HttpRequest], HttpResponseBase]

BEGAN, SEEN, MUST_CHANGE = "began_at", "seen_at", "must_change_password"
_SEEN_IS_NOTED_EVERY_SECONDS = 300  # a write for every page would take the database's one write lock


class SessionLimits:
    """Ends a session after 12 hours, or when nobody has done anything with it for two.

    A page that refreshes itself is not somebody who does something. Whoever has a one-time password gets to the page
    that replaces it, and nowhere else.
    """

    def __init__(self, get_response: Chain) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if SESSION_KEY not in request.session:
            return self.get_response(request)
        now = time.time()
        if _is_over(request.session, now):
            request.session.flush()
            request.user = AnonymousUser()
        else:
            _note(request, now)
            if request.session.get(MUST_CHANGE) and request.path not in _open_meanwhile():
                return redirect("password")
        return self.get_response(request)


class NeverStored:
    """No page is kept by a browser or a proxy: what is on it may be a secret, and is the project's alone."""

    def __init__(self, get_response: Chain) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if "no-store" not in response.headers.get("Cache-Control", ""):
            response.headers["Cache-Control"] = "no-store, private"
        return response


def begin(request: HttpRequest, *, must_change_password: bool) -> None:
    """Somebody has just signed in."""
    request.session[BEGAN] = request.session[SEEN] = time.time()
    request.session[MUST_CHANGE] = must_change_password


def _is_over(session: Any, now: float) -> bool:
    began, seen = session.get(BEGAN, now), session.get(SEEN, now)
    return bool(now - began > settings.SESSION_COOKIE_AGE or now - seen > settings.SESSION_IDLE_SECONDS)


def _note(request: HttpRequest, now: float) -> None:
    by_itself = request.method == "GET" and "HTTP_HX_REQUEST" in request.META
    request.session.setdefault(BEGAN, now)
    if SEEN not in request.session or (not by_itself and now - request.session[SEEN] > _SEEN_IS_NOTED_EVERY_SECONDS):
        request.session[SEEN] = now


def _open_meanwhile() -> tuple[str, ...]:
    return reverse("password"), reverse("logout")
