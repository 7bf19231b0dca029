"""Reading what connects an integration: a strict JSON gate in front of the very forms that the page uses."""

from __future__ import annotations

from typing import Any

from integrations.forms import OptionsForm
from integrations.providers.contract import Provider
from mobius.api.parsing import json_type
from mobius.api.serializing import known_fields
from mobius.errors import InvalidFields

_NUMBERS = ("submission_limit", "submissions_used", "rate_per_second")


def read_connection(provider: Provider, data: Any) -> tuple[Any, OptionsForm]:
    """The provider's valid form and the valid options form. Raises InvalidFields naming every field that is wrong."""
    if not isinstance(data, dict):
        raise InvalidFields({"body": [f"Send a JSON object, not {json_type(data)}."]})
    known_fields(data, [*provider.connect_form.base_fields, *OptionsForm.base_fields])
    given = {name: value for name, value in data.items() if value is not None}  # null is read as absent
    strangers = {name: _wrong_type(name, value) for name, value in given.items()}
    if wrong := {name: [sentence] for name, sentence in strangers.items() if sentence}:
        raise InvalidFields(wrong)
    connect, options = provider.connect_form(given), OptionsForm(given)
    if not (connect.is_valid() & options.is_valid()):
        raise InvalidFields(_errors(connect) | _errors(options))
    return connect, options


def _wrong_type(name: str, value: Any) -> str:
    if isinstance(value, str):
        return ""
    if name in _NUMBERS and isinstance(value, int | float) and not isinstance(value, bool):
        return ""
    return f"Send text{' or a number' if name in _NUMBERS else ''}, not {json_type(value)}."


def _errors(form: Any) -> dict[str, list[str]]:
    return {name: [str(sentence) for sentence in sentences] for name, sentences in form.errors.items()}
