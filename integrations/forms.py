"""What can be set on any integration, whatever its provider: one validator for the page and the API."""

from __future__ import annotations

from dataclasses import dataclass

from django import forms

UNLIMITED = "unlimited"

NAME = r"^[A-Za-z0-9][A-Za-z0-9 ._-]*\Z"
"""How an integration may be named: loops write it in `parameters.integration`."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Beyond the connection itself. None: leave it as it is, or take the provider's own."""

    name: str | None = None
    workspace: str | None = None
    submission_limit: int | str | None = None  # or UNLIMITED, for a passthrough table
    submissions_used: int | None = None
    rate_per_second: float | str | None = None  # or UNLIMITED


class OptionsForm(forms.Form):
    name = forms.RegexField(
        NAME,
        label="Name",
        required=False,
        max_length=100,
        error_messages={"invalid": "Use letters, digits, spaces, dots, hyphens and underscores."},
        help_text="How loops name this integration. Empty: the provider's own name.",
    )
    workspace = forms.CharField(
        label="Workspace",
        required=False,
        max_length=100,
        help_text="Integrations of one Clay workspace share its pace; give them the same label.",
    )
    submission_limit = forms.CharField(
        label="Submission limit",
        required=False,
        max_length=20,
        help_text="How many rows this webhook takes for life. Empty: 50,000. Write unlimited for a passthrough table.",
    )
    submissions_used = forms.IntegerField(
        label="Already used",
        required=False,
        min_value=0,
        max_value=1_000_000_000,
        help_text="What Clay's source counter shows, if the webhook was used before.",
    )
    rate_per_second = forms.CharField(
        label="Rows per second",
        required=False,
        max_length=20,
        help_text="Empty: 9.9, just below Clay's 10. Write unlimited to send without pacing.",
    )

    def clean_submission_limit(self) -> int | str | None:
        text = self.cleaned_data["submission_limit"].strip().lower()
        if text in ("", UNLIMITED):
            return text or None
        if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 1_000_000_000:
            raise forms.ValidationError("Write a whole number from 1 to 1,000,000,000, or unlimited.")
        return int(text)

    def clean_rate_per_second(self) -> float | str | None:
        text = self.cleaned_data["rate_per_second"].strip().lower()
        if text in ("", UNLIMITED):
            return text or None
        try:
            rate = float(text)
        except ValueError:
            rate = 0.0
        if not 0.01 <= rate <= 10_000:
            raise forms.ValidationError("Write a number from 0.01 to 10000, or unlimited.")
        return rate

    @property
    def options(self) -> Options:
        """What the valid form sets."""
        return Options(
            name=self.cleaned_data["name"] or None,
            workspace=self.cleaned_data["workspace"].strip() or None,
            submission_limit=self.cleaned_data["submission_limit"],
            submissions_used=self.cleaned_data["submissions_used"],
            rate_per_second=self.cleaned_data["rate_per_second"],
        )
