"""What is saved in Django admin, written into the audit like what is done anywhere else."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.db.models import Model
from django.http import HttpRequest

from mobius.projects import auditing
from mobius.projects.auditing import LONGEST_REASON
from mobius.web.support.asking import actor

_SAME = {"password1": "password", "password2": "password", "usable_password": "password"}


class ReasonedForm(forms.ModelForm):  # type: ignore[type-arg]
    """With a field for why. Give its name in `fields` of the admin class."""

    reason = forms.CharField(
        required=False,
        max_length=LONGEST_REASON,
        help_text="Why, for those who read the audit.",
        widget=forms.TextInput(attrs={"class": "vTextField"}),
    )


class AuditedSaves:
    """Every save that changes something is one line: which fields, by whom, from where and why; never a value."""

    kind: ClassVar[str]  # of the thing, in the audit

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:
        """Django asks for it once for each save, in the transaction of the save."""
        changed = {_SAME.get(name, name) for name in form.changed_data} - {"reason"}
        if add or changed:
            thing = getattr(form, "instance", None) or form.user
            self.saved(request, thing, changed, reason=getattr(form, "cleaned_data", {}).get("reason", ""), add=add)
        return super().construct_change_message(request, form, formsets, add)  # type: ignore[misc]

    def saved(self, request: HttpRequest, thing: Any, changed: set[str], *, reason: str, add: bool) -> None:
        auditing.record(
            actor(request),
            f"{self.kind}.{'create' if add else 'update'}",
            project_id=self.project_of(thing),
            kind=self.kind,
            id=self.id_of(thing),
            name=str(thing),
            reason=reason,
            changed=changed,
        )

    def project_of(self, thing: Any) -> str | None:
        project: str = thing.project_id
        return project

    def id_of(self, thing: Model) -> str:
        return str(thing.pk)
