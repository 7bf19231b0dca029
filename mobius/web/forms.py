"""What pages with a form have in common: they are opened and sent, and say what a verb refused."""

from __future__ import annotations

from collections.abc import Mapping

from django.forms import Form
from django.http import HttpRequest, QueryDict
from django.views.decorators.http import require_http_methods

from mobius.errors import AlreadyExists, InvalidFields, MobiusError

form_page = require_http_methods(["GET", "HEAD", "POST"])
"""For a page that shows a form and takes it."""


def posted(request: HttpRequest) -> QueryDict | None:
    """What the form was sent with; None when the page was merely opened."""
    return request.POST if request.method == "POST" else None


def explain(form: Form, error: MobiusError, *, names: Mapping[str, str] | None = None, inside: str = "") -> None:
    """Put what was refused beside the field that it is about, or above a form that has no such field.

    `names` says what the form calls a field that the verb calls otherwise; "" stands for what is about no field.
    Places `inside` a field that holds JSON are named beside that field.
    """
    for place, sentences in _said(error).items():
        own = (names or {}).get(place, place)
        for sentence in sentences:
            if own in form.fields:
                form.add_error(own, sentence)
            elif place and inside:
                form.add_error(inside, f"{place}: {sentence}")
            else:
                form.add_error(None, sentence)


def _said(error: MobiusError) -> dict[str, list[str]]:
    if isinstance(error, InvalidFields):
        return error.fields
    return {"name" if isinstance(error, AlreadyExists) else "": [error.message]}
