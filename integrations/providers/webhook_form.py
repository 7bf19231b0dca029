"""The form of every provider that is connected by a webhook's URL: one validator for the page and the API."""

from __future__ import annotations

from typing import Any

from django import forms

from integrations.addresses import UnsafeUrl, check_url
from integrations.headers import InvalidHeader, check_header_name, check_header_value
from integrations.providers.contract import Connection

_PLACEHOLDER = (
    "A placeholder such as <id> still stands in the address: paste the URL that the service shows for your webhook."
)


class WebhookConnectForm(forms.Form):
    """Webhook URL, and an auth header of which both halves or neither are given."""

    webhook_url = forms.CharField(
        label="Webhook URL",
        max_length=2048,
        strip=False,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "inputmode": "url"}),
        error_messages={"required": "Paste the webhook URL."},
    )
    auth_header_name = forms.CharField(
        label="Auth header name",
        required=False,
        strip=False,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    auth_header_value = forms.CharField(
        label="Auth header value",
        required=False,
        strip=False,
        # Never rendered again, not even after an error elsewhere in the form.
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "off", "spellcheck": "false"}),
    )

    def clean_webhook_url(self) -> str:
        url: str = self.cleaned_data["webhook_url"]
        if "<" in url or ">" in url:
            raise forms.ValidationError(_PLACEHOLDER)
        try:
            return check_url(url)
        except UnsafeUrl as error:
            raise forms.ValidationError(error.message) from None

    def clean_auth_header_name(self) -> str:
        return _checked(check_header_name, self.cleaned_data["auth_header_name"])

    def clean_auth_header_value(self) -> str:
        return _checked(check_header_value, self.cleaned_data["auth_header_value"])

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        name, value = cleaned.get("auth_header_name"), cleaned.get("auth_header_value")
        if name and value == "":
            self.add_error("auth_header_value", "Give the header's value too, or clear its name.")
        if value and name == "":
            self.add_error("auth_header_name", "Give the header's name too, or clear its value.")
        return cleaned

    @property
    def connection(self) -> Connection:
        """What the valid form connects with."""
        return Connection(
            webhook_url=self.cleaned_data["webhook_url"],
            auth_header_name=self.cleaned_data["auth_header_name"],
            auth_header_value=self.cleaned_data["auth_header_value"],
        )

    def warnings(self) -> list[str]:
        """What is probably a mistake in the valid form, though it is accepted."""
        return []


def _checked(check: Any, text: str) -> str:
    if not text:
        return ""
    try:
        return str(check(text))
    except InvalidHeader as error:
        raise forms.ValidationError(error.message) from None
