"""The forms of these pages: the provider's own connect form, and around it what only a page needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.utils.html import format_html

from integrations.console.finding import token_header
from integrations.curl import UnreadableCurl, is_curl, read_curl
from integrations.forms import BudgetForm, OptionsForm
from integrations.models import Integration
from integrations.providers.contract import JsonObject, Provider
from mobius.api.parsing import json_type, parse_json
from mobius.errors import MobiusError

Fields = Mapping[str, str]
_LONGEST_ROW = 150_000  # beyond what a provider takes, so that the provider explains what is too large


@dataclass(frozen=True, kw_only=True)
class Pasted:
    """The posted fields, a curl command among them taken apart."""

    fields: Fields = field(repr=False)
    took: str = ""  # what was found in the command, in a sentence
    trouble: str = ""  # why the command could not be read


def unpack(fields: Fields, token_header: str) -> Pasted:
    """Put what a curl command in the field of the URL holds into the fields where it belongs."""
    text = fields.get("webhook_url", "")
    if not is_curl(text):
        return Pasted(fields=fields)
    try:
        request = read_curl(text)
        name, value = request.auth_header(token_header)
    except UnreadableCurl as error:
        # The command may hold the token, so it is not shown again.
        return Pasted(fields={**fields, "webhook_url": ""}, trouble=error.message)
    if not name:
        return Pasted(fields={**fields, "webhook_url": request.url}, took="Took the URL from the curl command.")
    filled = {"webhook_url": request.url, "auth_header_name": name, "auth_header_value": value}
    return Pasted(fields={**fields, **filled}, took=f"Took the URL and the header {name} from the curl command.")


def connect_form(provider: Provider, pasted: Pasted | None = None, *, name: str = "") -> Any:
    """Connection and options in one form, so that a page has one list of mistakes. Bound when something was pasted."""
    return _pasted_form(provider, OptionsForm, pasted, initial={"name": name})


def stage_form(provider: Provider, pasted: Pasted | None = None) -> Any:
    """Connection and budget of a successor."""
    return _pasted_form(provider, BudgetForm, pasted, initial={})


def _pasted_form(
    provider: Provider, options: type[BudgetForm], pasted: Pasted | None, *, initial: Mapping[str, str]
) -> Any:
    order = [*provider.connect_form.base_fields, *_option_names(options)]
    form_class = type("ConnectPageForm", (options, provider.connect_form), {"field_order": order})
    form = form_class(pasted.fields if pasted else None, initial=initial)
    form.fields["webhook_url"].help_text = "Paste the URL, or a whole curl command: its header is taken too."
    if pasted is None:
        form.fields["webhook_url"].widget.attrs["autofocus"] = True
    elif pasted.trouble:
        form.errors.pop("webhook_url", None)
        form.add_error("webhook_url", pasted.trouble)
    return form


def fields_shown(
    provider: Provider, form: Any, options: type[BudgetForm], pasted: Pasted | None = None
) -> dict[str, Any]:
    """What the page of a form of `connect_form` or `stage_form` shows of it."""
    return {
        "provider": provider,
        "form": form,
        "connection_fields": [form[name] for name in provider.connect_form.base_fields],
        "option_fields": [form[name] for name in _option_names(options)],
        "token_header": token_header(provider),
        "value_was_given": bool(pasted and pasted.fields.get("auth_header_value")),
    }


def _option_names(options: type[BudgetForm]) -> list[str]:
    return list(options.field_order or options.base_fields)


class _Rotation(forms.Form):
    remove_header = forms.BooleanField(
        label="This webhook needs no token any more",
        required=False,
        help_text="Rows then go out without an auth header.",
    )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        given = cleaned.get("auth_header_name") or cleaned.get("auth_header_value")
        if self.errors:
            return cleaned
        if given and cleaned["remove_header"]:
            self.add_error("remove_header", "Either give the new header or take it away, not both.")
        elif not given and not cleaned["remove_header"]:
            self.add_error("auth_header_value", "Paste the new header's name and value.")
        return cleaned


def rotate_form(provider: Provider, *, webhook_url: str, fields: Fields | None = None, header_name: str = "") -> Any:
    """The connect form without its URL: the stored one is put in, so that the same rules and warnings apply."""
    form_class = type("RotateForm", (_Rotation, provider.connect_form), {})
    bound = {**fields, "webhook_url": webhook_url} if fields is not None else None
    form = form_class(bound, initial={"auth_header_name": header_name})
    form.order_fields(["webhook_url", "auth_header_name", "auth_header_value", "remove_header"])
    return form


class RowForm(forms.Form):
    """The row that a test sends."""

    row = forms.CharField(
        label="Sample row",
        max_length=_LONGEST_ROW,
        widget=forms.Textarea(attrs={"rows": 7, "class": "mono", "spellcheck": "false", "autocomplete": "off"}),
        help_text="A JSON object. Change it to match your table's columns.",
        error_messages={"required": 'Write a JSON object, such as {"email": "ada@example.com"}.'},
    )

    def __init__(self, provider: Provider, fields: Fields | None = None) -> None:
        sample = json.dumps(dict(provider.sample_row), indent=2, ensure_ascii=False)
        super().__init__(fields, initial={"row": sample})

    def clean_row(self) -> JsonObject:
        try:
            row = parse_json(self.cleaned_data["row"].encode())
        except MobiusError as error:
            raise forms.ValidationError(error.message.replace("The body", "The row")) from None
        if not isinstance(row, dict):
            raise forms.ValidationError(f"Write one JSON object in braces, not {json_type(row)}.")
        return row


class DisconnectForm(forms.Form):
    """Typed, so that nobody disconnects by a slip of the hand."""

    typed = forms.CharField(
        label="Name of the integration",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        error_messages={"required": "Type the integration's name."},
    )

    def __init__(self, integration: Integration, fields: Fields | None = None) -> None:
        super().__init__(fields)
        self.integration = integration
        self.fields["typed"].help_text = format_html("Type <strong>{}</strong> to confirm.", integration.name)

    def clean_typed(self) -> str:
        typed: str = self.cleaned_data["typed"]
        if typed != self.integration.name:
            raise forms.ValidationError(f"This is not the integration's name, which is {self.integration.name}.")
        return typed
