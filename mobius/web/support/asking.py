"""Deeds that ask first: a page that says what will happen and to what, with a form for the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django import forms
from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import User
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html, format_html_join

from mobius.errors import Conflict, MobiusError
from mobius.projects.auditing import LONGEST_REASON, Actor, person
from mobius.web.support.linking import page_of

M = TypeVar("M", bound=Model)
F = TypeVar("F", bound=forms.Form)
MOST_AT_ONCE = 100


class WhyForm(forms.Form):
    """Support acts for somebody else, so that each deed says why."""

    reason = forms.CharField(
        label="Reason",
        max_length=LONGEST_REASON,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text="Written down in the audit, with your name.",
        error_messages={"required": "Say why, such as: the customer asked for it in ticket 123."},
    )


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
    refuse: Callable[[M], str] = lambda thing: "",
) -> HttpResponse | None:
    """The page that asks; once it is answered, do it to each thing and say what became of it.

    `refuse` says why there is nothing to do to a thing, where the deed itself would not.
    """
    things = list(chosen[: MOST_AT_ONCE + 1])
    if len(things) > MOST_AT_ONCE:
        messages.error(request, f"Choose at most {MOST_AT_ONCE} at once.")
        return None
    form = form_class(request.POST if "confirmed" in request.POST else None)
    if form.is_valid():
        _do(request, things, lambda thing: do(thing, form), refuse)
        return None
    context: dict[str, Any] = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.model._meta,
        "title": title,
        "button": button,
        "explanation": explanation,
        "things": [(thing, page_of(thing, thing.pk)) for thing in things],
        "action": action,
        "checkbox": ACTION_CHECKBOX_NAME,
        "form": form,
    }
    return TemplateResponse(request, "admin/ask.html", context, status=422 if form.errors else 200)


def _do(request: HttpRequest, things: list[M], deed: Callable[[M], object], refuse: Callable[[M], str]) -> None:
    """What the database or a rule refuses is said for each; what was done is counted, with a link to each."""
    done = []
    for thing in things:
        shown = format_html('<a href="{}">{}</a>', page_of(thing, thing.pk), thing)
        try:
            if refusal := refuse(thing):
                raise Conflict(refusal)
            deed(thing)
        except MobiusError as error:
            messages.error(request, format_html("Not done: {}. {}", shown, error.message))
        else:
            done.append((shown,))
    if done:
        messages.success(request, format_html("Done, {}: {}.", len(done), format_html_join(", ", "{}", done)))
