"""Admin actions that ask first: a page that says what will happen and to what, with a form for the reason."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from django import forms
from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import User
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from mobius.errors import MobiusError
from mobius.projects.auditing import Actor, person

M = TypeVar("M", bound=Model)
F = TypeVar("F", bound=forms.Form)
MOST_AT_ONCE = 100


def may(request: HttpRequest, permission: str) -> bool:
    return isinstance(request.user, User) and request.user.has_perm(permission)


def actor(request: HttpRequest) -> Actor:
    assert isinstance(request.user, User)  # the admin lets nobody else in
    return person(request.user, ip=request.META.get("REMOTE_ADDR", ""))


def ask(
    model_admin: ModelAdmin[M],
    request: HttpRequest,
    chosen: QuerySet[M],
    *,
    title: str,
    button: str,
    action: str,
    explanation: str,
    form_class: type[F],
    do: Callable[[M, F], object],
) -> HttpResponse | None:
    """The page that asks; once it is answered, do it to each thing and say what became of it."""
    things = list(chosen[: MOST_AT_ONCE + 1])
    if len(things) > MOST_AT_ONCE:
        messages.error(request, f"Choose at most {MOST_AT_ONCE} at once.")
        return None
    form = form_class(request.POST if "confirmed" in request.POST else None)
    if form.is_valid():
        for thing in things:
            _do(request, thing, partial(do, thing, form))
        return None
    context: dict[str, Any] = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.model._meta,
        "title": title,
        "button": button,
        "explanation": explanation,
        "things": things,
        "action": action,
        "checkbox": ACTION_CHECKBOX_NAME,
        "form": form,
    }
    return TemplateResponse(request, "admin/ask.html", context, status=422 if form.errors else 200)


def _do(request: HttpRequest, thing: Model, deed: Callable[[], object]) -> None:
    try:
        deed()
    except MobiusError as error:
        messages.error(request, f"Not done: {thing}. {error.message}")
    else:
        messages.success(request, f"Done: {thing}.")
