"""Where a page shows what a verb refused."""

from __future__ import annotations

from collections.abc import Mapping

from django.forms import Form

from mobius.errors import AlreadyExists, InvalidFields, MobiusError


def explain(form: Form, error: MobiusError, *, names: Mapping[str, str] | None = None) -> None:
    """Put what was refused beside the field that it is about, or above a form that has no such field.

    `names` says what the form calls a field that the verb calls otherwise.
    """
    for name, sentences in _said(error).items():
        own = (names or {}).get(name, name)
        for sentence in sentences:
            form.add_error(own if own in form.fields else None, sentence)


def _said(error: MobiusError) -> dict[str, list[str]]:
    if isinstance(error, InvalidFields):
        return error.fields
    return {"name" if isinstance(error, AlreadyExists) else "": [error.message]}
