"""Reading what connects an integration: a strict JSON gate in front of the very forms that the page uses."""

from __future__ import annotations

from typing import Any

from integrations.configuring import SWITCHES, settings_of
from integrations.forms import BudgetForm, Options, OptionsForm, SettingsForm
from integrations.models import Integration, Webhook
from integrations.providers.contract import Provider
from mobius.api.parsing import json_type
from mobius.api.serializing import known_fields
from mobius.errors import InvalidFields

NUMBERS = ("submission_limit", "submissions_used", "rate_per_second", "burst")
SETTINGS = tuple(name for name in SettingsForm.base_fields if name not in ("name", "submissions_used"))


def read_connection(
    provider: Provider, data: Any, options_form: type[BudgetForm] = OptionsForm
) -> tuple[Any, BudgetForm]:
    """The provider's valid form and the valid options form. Raises InvalidFields naming every field that is wrong."""
    if not isinstance(data, dict):
        raise InvalidFields({"body": [f"Send a JSON object, not {json_type(data)}."]})
    known_fields(data, [*provider.connect_form.base_fields, *options_form.base_fields])
    given = _given(data)
    connect, options = provider.connect_form(given), options_form(given)
    if not (connect.is_valid() & options.is_valid()):
        raise InvalidFields(_errors(connect) | _errors(options))
    return connect, options


def read_settings(
    integration: Integration, webhook: Webhook, *, settings: dict[str, Any], submissions_used: int | None
) -> Options:
    """What `settings` and `submissions_used` change, through the form of the settings page. Raises InvalidFields."""
    known_fields(settings, SETTINGS)
    given = _given(settings) | ({"submissions_used": submissions_used} if submissions_used is not None else {})
    form = SettingsForm.changing(settings_of(integration, webhook), given)
    if not form.is_valid():
        raise InvalidFields(_errors(form))
    return form.options


def _given(data: dict[str, Any]) -> dict[str, Any]:
    """The fields that have a value of a type that the form could read: null is read as absent."""
    given = {name: value for name, value in data.items() if value is not None}
    strangers = {name: _wrong_type(name, value) for name, value in given.items()}
    if wrong := {name: [sentence] for name, sentence in strangers.items() if sentence}:
        raise InvalidFields(wrong)
    return given


def _wrong_type(name: str, value: Any) -> str:
    if name in SWITCHES:
        return "" if isinstance(value, bool) else f"Send true or false, not {json_type(value)}."
    if isinstance(value, str):
        return ""
    if name in NUMBERS and isinstance(value, int | float) and not isinstance(value, bool):
        return ""
    return f"Send text{' or a number' if name in NUMBERS else ''}, not {json_type(value)}."


def _errors(form: Any) -> dict[str, list[str]]:
    return {name: [str(sentence) for sentence in sentences] for name, sentences in form.errors.items()}
