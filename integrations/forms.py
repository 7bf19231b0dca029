"""What can be set on any integration, whatever its provider: one validator for the page and the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

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
    burst: int | None = None
    never_twice: bool | None = None
    deduplicates: bool | None = None
    wait_at_limit: bool | None = None


class BudgetForm(forms.Form):
    """What a webhook takes for life, and what it has taken."""

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

    def clean_submission_limit(self) -> int | str | None:
        text = self.cleaned_data["submission_limit"].strip().lower()
        if text in ("", UNLIMITED):
            return text or None
        if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 1_000_000_000:
            raise forms.ValidationError("Write a whole number from 1 to 1,000,000,000, or unlimited.")
        return int(text)

    @property
    def options(self) -> Options:
        """What the valid form sets."""
        budget = {name: self.cleaned_data[name] for name in BudgetForm.base_fields}
        return Options(**budget)


class OptionsForm(BudgetForm):
    """What can be chosen when connecting."""

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
    rate_per_second = forms.CharField(
        label="Rows per second",
        required=False,
        max_length=20,
        help_text="Empty: 9.9, just below Clay's 10. Write unlimited to send without pacing.",
    )
    field_order: tuple[str, ...] = ("name", "workspace", "submission_limit", "submissions_used", "rate_per_second")

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

    def clean_workspace(self) -> str:
        return str(self.cleaned_data["workspace"]).strip()

    @property
    def options(self) -> Options:
        """What the valid form sets."""
        return Options(
            name=self.cleaned_data["name"] or None,
            workspace=self.cleaned_data["workspace"] or None,
            submission_limit=self.cleaned_data["submission_limit"],
            submissions_used=self.cleaned_data["submissions_used"],
            rate_per_second=self.cleaned_data["rate_per_second"],
        )


class SettingsForm(OptionsForm):
    """What can be set on a connected integration. Only what was changed is set: the rest may have moved meanwhile."""

    burst = forms.IntegerField(
        label="Rows at once",
        min_value=1,
        max_value=10_000,
        help_text="How many rows may leave at once after a rest; 18 is just below Clay's 20. For the whole workspace.",
    )
    never_twice = forms.BooleanField(
        label="Never send a row twice",
        required=False,
        help_text="A row whose request_id and content were accepted before is not sent again; "
        "the step gets the first answer.",
    )
    deduplicates = forms.BooleanField(
        label="This table deduplicates request_id",
        required=False,
        help_text="A row in doubt may then be sent again by itself: the table drops the second one.",
    )
    wait_at_limit = forms.BooleanField(
        label="Wait at the limit",
        required=False,
        help_text="Once the submission limit is reached, rows wait for a new webhook instead of failing.",
    )
    field_order = (
        *("name", "workspace", "rate_per_second", "burst", "submission_limit", "submissions_used"),
        *("never_twice", "deduplicates", "wait_at_limit"),
    )

    def __init__(
        self, present: Mapping[str, object], given: Mapping[str, object] | None = None, *, counted: int = 0
    ) -> None:
        """`present`: the settings now, None where there is no limit; `given`: the fields that somebody sent.

        `counted` is our own count of the webhook's rows.
        """
        super().__init__(given, initial={name: _as_written(value) for name, value in present.items()})
        self.fields["name"].required = self.fields["workspace"].required = True
        self.fields["submission_limit"].required = self.fields["rate_per_second"].required = True
        helps = {
            "name": "How loops name this integration. Loops that use the old name must be changed.",
            "submission_limit": "How many rows the webhook takes for life, or unlimited for a passthrough table.",
            "submissions_used": f"We counted {counted:,}. Write what the other side's own counter shows if it "
            "differs; empty: keep ours. Rows in doubt are counted on top.",
            "rate_per_second": "For all integrations of this workspace. Write unlimited to send without pacing.",
        }
        for name, text in helps.items():
            self.fields[name].help_text = text

    @classmethod
    def changing(cls, present: Mapping[str, object], changes: Mapping[str, object]) -> Self:
        """The form for somebody who names only what is to change."""
        return cls(present, {name: _as_written(value) for name, value in present.items()} | dict(changes))

    @property
    def options(self) -> Options:
        chosen = {name: self.cleaned_data[name] for name in self.fields if name in self.changed_data}
        return Options(**chosen)


def _as_written(value: object) -> object:
    """A setting as a field shows it."""
    if isinstance(value, bool):
        return value
    return UNLIMITED if value is None else f"{value:g}" if isinstance(value, float) else str(value)
