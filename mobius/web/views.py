"""Signing in, one's own password, and whether we are up."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

from axes.models import AccessAttempt
from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView, redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from mobius.errors import RateLimitExceeded
from mobius.projects import people, throttling
from mobius.projects.auditing import SYSTEM, person
from mobius.web import sessions
from mobius.web.access import typed_name, typing_address
from mobius.web.forms import form_page, posted


class SignInForm(AuthenticationForm):
    """Whatever is wrong is answered alike: nobody learns which names there are."""

    error_messages = {
        "invalid_login": "The user name or the password is wrong. Mind capitals in both.",
        "inactive": "The user name or the password is wrong. Mind capitals in both.",
    }

    def clean_username(self) -> str:
        name: str = self.cleaned_data["username"]
        if len(name) > people.LONGEST_NAME:  # no name is; a database may not even take the question
            raise self.get_invalid_login_error()
        return name


class Login(LoginView):
    """Name and password; `next` is followed only within this site (Django sees to that)."""

    template_name = "registration/login.html"
    form_class = SignInForm
    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            throttling.take_sign_in(_address(request))
        except RateLimitExceeded as error:
            return _too_many(request, "registration/throttled.html", {}, seconds=error.retry_after_seconds)
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        user = form.get_user()
        answer = super().form_valid(form)
        sessions.begin(self.request, must_change_password=people.must_change_password(user))
        people.note(person(user, ip=_address(self.request)), "sign_in", user)
        return answer


def locked(request: HttpRequest, response: HttpResponse | None, credentials: dict[str, Any] | None) -> HttpResponse:
    """The page after too many wrong passwords (AXES_LOCKOUT_CALLABLE). The one that locks is written down."""
    name = str((credentials or {}).get("username") or "")
    if getattr(request, "axes_failures_since_start", 0) == settings.AXES_FAILURE_LIMIT:
        # A name that does not exist may be a password, typed into the wrong field: it is not kept.
        for user in User.objects.filter(username=name):
            people.note(replace(SYSTEM, ip=_address(request)), "lock_out", user)
    context = {"username": name[: people.LONGEST_NAME], "failure_limit": settings.AXES_FAILURE_LIMIT}
    return _too_many(request, "registration/locked.html", context, seconds=_locked_for(request, name))


def _locked_for(request: HttpRequest, name: str) -> float:
    """Seconds until the last of the mistakes is forgotten."""
    mistakes = AccessAttempt.objects.filter(username=typed_name(request, {"username": name}))
    last = mistakes.filter(ip_address=typing_address(request)).aggregate(Max("attempt_time"))["attempt_time__max"]
    forgotten_after = timedelta(hours=settings.AXES_COOLOFF_TIME)
    return (last + forgotten_after - timezone.now()).total_seconds() if last else 0


def _too_many(request: HttpRequest, page: str, context: dict[str, Any], *, seconds: float) -> HttpResponse:
    answer = render(request, page, context, status=429)
    answer.headers["Retry-After"] = str(max(1, math.ceil(seconds)))
    return answer


def admin_door(request: HttpRequest) -> HttpResponse:
    """Django admin has no sign-in of its own: there is one door, with one lock."""
    if request.user.is_authenticated:
        raise PermissionDenied("Django admin is for support staff.")
    return redirect_to_login(request.GET.get("next") or "/admin/")


@login_required
@sensitive_post_parameters()
@sensitive_variables("form")
@form_page
def password(request: HttpRequest) -> HttpResponse:
    """A person's own page: another password. Every other browser that is signed in with the old one is signed out."""
    assert isinstance(request.user, User)
    must = bool(request.session.get(sessions.MUST_CHANGE))
    form = PasswordForm(request.user, posted(request))
    if not form.is_valid():
        context = {"form": form, "must": must}
        return render(request, "registration/password.html", context, status=422 if form.errors else 200)
    with transaction.atomic():
        form.save()
        people.password_was_changed(request.user, by=person(request.user, ip=_address(request)))
    update_session_auth_hash(request, request.user)
    request.session[sessions.MUST_CHANGE] = False
    messages.success(request, "Your password is changed. Other browsers have to sign in again.")
    return redirect("root")


class PasswordForm(PasswordChangeForm):
    """Django's, and the new one must be another."""

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("new_password1") and cleaned.get("new_password1") == cleaned.get("old_password"):
            raise forms.ValidationError("This is your present password; choose another one.")
        return cleaned


def _address(request: HttpRequest) -> str:
    address: str = request.META.get("REMOTE_ADDR", "")
    return address
