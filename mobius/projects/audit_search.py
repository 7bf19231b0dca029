"""Looking something up in the audit: what the address of the page and of the API may ask for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django import forms

from mobius.errors import InvalidFields
from mobius.projects.audit_models import AuditEvent, AuditEventQuerySet
from mobius.projects.models import Project


def _short() -> forms.TextInput:
    return forms.TextInput(attrs={"size": 13, "autocomplete": "off", "spellcheck": "false"})


def _day(label: str) -> forms.DateField:
    return forms.DateField(
        label=label,
        required=False,
        input_formats=["%Y-%m-%d"],
        error_messages={"invalid": "Write a day such as 2026-11-24."},
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )


class AuditSearch(forms.Form):
    """Each field narrows the list; empty ones ask for nothing. Days are in UTC, and both are included."""

    actor = forms.CharField(label="Who", max_length=200, required=False, widget=_short())
    action = forms.CharField(label="Did", max_length=60, required=False, widget=_short())
    object = forms.CharField(label="To", max_length=200, required=False, widget=_short())
    since = _day("Since (UTC)")
    until = _day("Until (UTC)")

    @property
    def asks_for_something(self) -> bool:
        return any(self.data.get(name) for name in self.fields)

    def in_project(self, project: Project) -> AuditEventQuerySet:
        """The lines that fit; nothing when the search itself is wrong."""
        if not self.is_valid():
            return AuditEvent.objects.none()
        wanted = self.cleaned_data
        found = AuditEvent.objects.of_project(project).between(_begin(wanted["since"]), _end(wanted["until"]))
        if wanted["actor"]:
            found = found.by(wanted["actor"])
        if wanted["action"]:
            found = found.doing(wanted["action"])
        return found.to(wanted["object"]) if wanted["object"] else found


def found_in(project: Project, query: Mapping[str, Any]) -> AuditEventQuerySet:
    """The lines of `project` that fit the query. Raises InvalidFields."""
    search = AuditSearch(query)
    if not search.is_valid():
        raise InvalidFields({name: [str(one) for one in found] for name, found in search.errors.items()})
    return search.in_project(project)


def _begin(day: date | None) -> datetime | None:
    return datetime.combine(day, time.min, tzinfo=UTC) if day else None


def _end(day: date | None) -> datetime | None:
    """The end of `day`; the last day of all times has none."""
    return datetime.combine(day + timedelta(days=1), time.min, tzinfo=UTC) if day and day < date.max else None
