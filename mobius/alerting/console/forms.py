"""The form of a recipient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms

from mobius.alerting.recipients import LONGEST_ADDRESS
from mobius.projects.models import Membership


class RecipientForm(forms.Form):
    """Somebody to mail: a member by name, or any address."""

    member = forms.ChoiceField(label="Member", required=False, help_text="Their mails end with their membership.")
    address = forms.CharField(
        label="E-mail address",
        required=False,
        max_length=LONGEST_ADDRESS,
        widget=forms.EmailInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text="May stay empty for a member whose account has one. Mails name the project, its integrations and "
        "its loops, so give only addresses that may know them.",
    )

    def __init__(self, *arguments: Any, members: Iterable[Membership], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._members = {str(one.pk): one for one in members}
        named = [(key, _named(one)) for key, one in self._members.items()]
        field = self.fields["member"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", "Somebody else, at the address below"), *named]

    @property
    def membership(self) -> Membership | None:
        return self._members.get(self.cleaned_data["member"])


def _named(membership: Membership) -> str:
    user = membership.user
    return f"{user.get_username()} ({user.email})" if user.email else f"{user.get_username()} (no address yet)"
