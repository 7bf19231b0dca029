"""The forms that ask for a new API key, and for members and their roles."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from django import forms

from mobius.projects.people import LONGEST_NAME
from mobius.projects.roles import Role


class NewKeyForm(forms.Form):
    name = forms.CharField(
        label="Name",
        max_length=200,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text="The system that will use the key, such as Clay.",
        error_messages={"required": "Give the key a name, such as the system that will use it."},
    )
    role = forms.ChoiceField(
        label="Role",
        choices=Role.choices,
        widget=forms.RadioSelect,
        help_text="Give the least that the system needs.",
        error_messages={"required": "Choose what the key may do."},
    )
    expires_on = forms.DateField(
        label="Expires after",
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="The last day on which it works, in UTC. Empty: it works until it is revoked.",
        error_messages={"invalid": "Write a date such as 2027-01-31."},
    )

    @property
    def expires_at(self) -> datetime | None:
        """The end of the chosen day."""
        day = self.cleaned_data["expires_on"]
        if day is None:
            return None
        return datetime.combine(day, time.min, tzinfo=UTC) + timedelta(days=1)


class RoleForm(forms.Form):
    """What a member may do."""

    role = forms.ChoiceField(
        label="Role",
        choices=[(role.value, role.label) for role in Role.for_members()],
        widget=forms.RadioSelect,
        error_messages={"required": "Choose what the member may do."},
    )


class MemberForm(RoleForm):
    """Somebody who has an account, by name."""

    name = forms.CharField(
        label="User name",
        max_length=LONGEST_NAME,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
        help_text="As it is written at the sign-in.",
        error_messages={"required": "Write the name with which the person signs in."},
    )
    field_order = ("name", "role")


class NewUserForm(MemberForm):
    """Somebody who has no account yet."""

    name = forms.CharField(
        label="User name",
        max_length=LONGEST_NAME,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
        help_text="The person signs in with it. Letters, digits and @ . + - _",
        error_messages={"required": "Choose the name with which the person will sign in."},
    )
