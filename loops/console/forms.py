"""Forms in which people write JSON: strict as the API is, and every typed character is kept when something is wrong."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from integrations.parcels import LONGEST_REQUEST_ID
from integrations.settling import Decision
from loops.console.places import Mark, mark_mistake, mark_place
from loops.retrying import LONGEST_EXTENSION
from loops.starting import LONGEST_KEY
from mobius.api.parsing import json_type, parse_json
from mobius.errors import InvalidFields, MobiusError
from mobius.projects.auditing import LONGEST_REASON
from mobius.web.forms import explain

JsonObject = dict[str, Any]
_MOST_MARKS = 20  # more than that nobody mends at once


class JsonObjectField(forms.CharField):
    """A textarea that holds one JSON object."""

    def __init__(self, *, rows: int, **options: Any) -> None:
        attributes = {"rows": rows, "class": "mono", "spellcheck": "false", "autocapitalize": "off", "dir": "ltr"}
        super().__init__(widget=forms.Textarea(attributes), strip=False, **options)

    def clean(self, value: Any) -> JsonObject:
        text = super().clean(value)
        try:
            parsed = parse_json(text.encode(errors="replace"))
        except MobiusError as error:
            raise ValidationError(error.message.replace("The body", "The text")) from None
        if not isinstance(parsed, dict):
            raise ValidationError(f"Write a JSON object, in braces, not {json_type(parsed)}.")
        return parsed


class LoopForm(forms.Form):
    """A whole loop. `version` is the one that was edited, so that nobody writes over what somebody else has saved."""

    spec = JsonObjectField(label="Loop", rows=24, help_text="The loop as JSON, as the API takes it.")
    version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.marks: list[Mark] = []

    def refuse(self, error: MobiusError) -> None:
        """Say what is wrong with the loop, and mark in its text where."""
        if isinstance(error, InvalidFields):
            found = {place: mark_place(self._text, place) for place in error.fields}
            self.marks = sorted(set(found.values()), key=lambda mark: (mark.line, mark.column))[:_MOST_MARKS]
            told = {place: [f"{one} ({found[place]})" for one in said] for place, said in error.fields.items()}
            error = InvalidFields(told)
        explain(self, error, inside="spec")

    def is_valid(self) -> bool:
        """Also marks where the text is no JSON."""
        valid = super().is_valid()
        mistakes = [mark_mistake(self._text, str(sentence)) for sentence in self.errors.get("spec", ())]
        self.marks = [mark for mark in mistakes if mark]
        return valid

    @property
    def _text(self) -> str:
        return str(self["spec"].value() or "{}").replace("\r\n", "\n")


class RestoreForm(forms.Form):
    """`version` is the current one that was seen when the question was asked."""

    version = forms.IntegerField(widget=forms.HiddenInput, required=False)


class EventForm(forms.Form):
    """What a preview takes for the event."""

    event = JsonObjectField(label="Event to preview with", rows=6, required=False)


class StartForm(forms.Form):
    """What a person starts a run with."""

    event = JsonObjectField(label="Event", rows=9, required=False, help_text="JSON; the steps read it as event.")
    idempotency_key = forms.CharField(
        label="Idempotency key",
        required=False,
        max_length=LONGEST_KEY,
        widget=forms.TextInput(attrs={"autocomplete": "off", "class": "mono"}),
        help_text="A repeated start with the same key gives back the run that is active instead of a second one.",
    )


class ReasonForm(forms.Form):
    """Why somebody does something; it is written down in the audit."""

    reason = forms.CharField(
        label="Reason",
        required=False,
        max_length=LONGEST_REASON,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text="Written down in the audit, with your name.",
    )


class RetryForm(ReasonForm):
    """A run whose time is used up needs more of it."""

    wall_clock_extend_seconds = forms.IntegerField(
        label="Seconds more",
        min_value=1,
        max_value=int(LONGEST_EXTENSION.total_seconds()),
        help_text="The run has used up its wall_clock_timeout: how much longer may it take?",
    )

    def __init__(self, *arguments: Any, out_of_time: bool, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if not out_of_time:
            del self.fields["wall_clock_extend_seconds"]


class SignalForm(forms.Form):
    result = JsonObjectField(label="Output", rows=6, help_text="JSON; it becomes the output of the step.")


class SettleForm(forms.Form):
    decision = forms.ChoiceField(label="Did the row arrive?", choices=Decision.choices, widget=forms.RadioSelect)
    reason = forms.CharField(
        label="How do you know?",
        max_length=LONGEST_REASON,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text="Such as: looked into the table. Written down in the audit, with your name.",
        error_messages={"required": "Say how you know, such as: looked into the table."},
    )


class SendAnewForm(ReasonForm):
    """`request_id` is the one that the page has named: the same answer, given twice, makes one row."""

    request_id = forms.CharField(widget=forms.HiddenInput, required=False, max_length=LONGEST_REQUEST_ID)


class BulkForm(ReasonForm):
    """`asked_at` is when the question was shown: what came later was not meant, and the same answer counts once."""

    asked_at = forms.DateTimeField(widget=forms.HiddenInput)


class BulkSettleForm(SettleForm):
    decision = forms.ChoiceField(
        label="Did the rows arrive?",
        choices=[
            (Decision.ARRIVED, "They arrived"),
            (Decision.SEND_AGAIN, "They did not arrive: send all of them again"),
            (Decision.GIVE_UP, "They did not arrive: give all of them up"),
        ],
        widget=forms.RadioSelect,
    )
    asked_at = forms.DateTimeField(widget=forms.HiddenInput)
