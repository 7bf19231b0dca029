"""The form of a webhook."""

from __future__ import annotations

from typing import Any

from django import forms

from integrations.addresses import URL_LIMIT
from mobius.notifying.models import Endpoint
from mobius.notifying.subscribing import EVENT_TYPES

_CHOICES = [
    ("run.started", "A run has begun"),
    ("run.resumed", "A failed run goes on"),
    ("run.completed", "A run has completed"),
    ("run.failed", "A run has failed"),
    ("run.cancelled", "A run was cancelled"),
    ("alert.opened", "Something needs a person"),
    ("alert.worsened", "It got worse"),
    ("alert.closed", "It is over"),
]


class EndpointForm(forms.Form):
    """A new webhook, or a change of one: then an empty address keeps the present one, which is never shown again."""

    name = forms.CharField(
        label="Name",
        max_length=200,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text="The system that is told, such as Slack or your CRM.",
        error_messages={"required": "Give the webhook a name, such as the system that it tells."},
    )
    url = forms.CharField(
        label="URL",
        max_length=URL_LIMIT,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "class": "mono"}),
        help_text="A public https address that takes a POST.",
        error_messages={"required": "Give the address that is to be told."},
    )
    events = forms.MultipleChoiceField(
        label="Events",
        choices=_CHOICES,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None ticked: all of them.",
    )

    def __init__(self, *arguments: Any, endpoint: Endpoint | None = None, **options: Any) -> None:
        if endpoint is not None:
            options["initial"] = {"name": endpoint.name, "events": _ticked(endpoint)}
        super().__init__(*arguments, **options)
        if endpoint is not None and endpoint.url_shown:
            self.fields["url"].required = False
            self.fields["url"].help_text = f"Now {endpoint.url_shown}. Leave it empty to keep it."

    @property
    def changes(self) -> dict[str, Any]:
        """What was typed; an address that was left empty stays."""
        typed = dict(self.cleaned_data)
        return typed if typed["url"] else {name: value for name, value in typed.items() if name != "url"}


def _ticked(endpoint: Endpoint) -> list[str]:
    """The types that it named, and those of the kinds that it named as a whole."""
    whole = tuple(one.removesuffix("*") for one in endpoint.events if one.endswith("*"))
    return [one for one in EVENT_TYPES if one in endpoint.events or one.startswith(whole)]
