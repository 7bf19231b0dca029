"""Forms of a push: where its rows come from, and where each of its columns goes."""

from __future__ import annotations

import io
import json
from typing import Any

from django import forms
from django.db.models import QuerySet

from integrations.models import Integration
from loops.models import Push, PushRow
from loops.pushing.mapping import Mapping, read_mapping
from loops.pushing.reading import LONGEST_COLUMN
from mobius.errors import InvalidFields

_SAMPLES = 3
_LONGEST_SAMPLE = 60


class RowsForm(forms.Form):
    """A file, or pasted text, and the integration that gets its rows."""

    integration = forms.ChoiceField(label="Integration", help_text="Whose table gets the rows.")
    upload = forms.FileField(
        label="File",
        required=False,
        allow_empty_file=True,  # said better by whoever reads it
        max_length=200,
        help_text="CSV with a header, or JSON Lines (one object per line).",
        widget=forms.FileInput(attrs={"accept": ".csv,.tsv,.txt,.jsonl,.ndjson,.json,text/csv"}),
    )
    text = forms.CharField(
        label="Or paste the rows",
        required=False,
        strip=False,
        help_text="Up to 200 KB, such as cells copied out of a spreadsheet, with the header. Upload what is larger.",
        widget=forms.Textarea(attrs={"rows": 8, "class": "mono", "spellcheck": "false", "autocapitalize": "off"}),
    )

    def __init__(self, *arguments: Any, integrations: QuerySet[Integration], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._integrations = {integration.pk: integration for integration in integrations}
        field = self.fields["integration"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(pk, integration.name) for pk, integration in self._integrations.items()]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if "upload" in self.errors or "text" in self.errors:
            return cleaned
        given = bool(cleaned.get("upload") is not None), bool((cleaned.get("text") or "").strip())
        if given == (True, True):
            self.add_error("text", "Choose a file or paste rows, not both.")
        elif given == (False, False):
            self.add_error("upload", "Choose a file, or paste rows below.")
        return cleaned

    @property
    def source(self) -> str:
        """The field that the rows came in."""
        return "upload" if self.cleaned_data.get("upload") is not None else "text"

    def file(self) -> dict[str, Any]:
        """What `draft` takes."""
        upload = self.cleaned_data.get("upload")
        if upload is not None:
            given = {"file": upload.file, "name": upload.name, "size": upload.size}
        else:
            raw = self.cleaned_data["text"].encode(errors="replace")
            given = {"file": io.BytesIO(raw), "name": "", "size": len(raw)}
        return given | {"integration": self._integrations[self.cleaned_data["integration"]]}


class MappingForm(forms.Form):
    """One key for each column, and the columns of the two ids."""

    def __init__(self, *arguments: Any, push: Push, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._columns: list[str] = push.columns
        mapping = Mapping.stored(push.mapping)
        choices = [(column, column) for column in push.columns]
        self.fields["request_id"] = forms.ChoiceField(
            label="request_id",
            required=False,
            initial=mapping.request_id,
            choices=[("", "None: pushing this file again sends every row again"), *choices],
            help_text="The column that tells each row from all others, such as an e-mail address or an id. "
            "By it no row is ever sent twice, also not with the next file.",
        )
        self.fields["external_id"] = forms.ChoiceField(
            label="external_id",
            required=False,
            initial=mapping.external_id,
            choices=[("", "None"), *choices],
            help_text="Your own id of the row, if you want to find it by that here.",
        )
        self._samples = _samples(push)
        for place, column in enumerate(push.columns):
            self.fields[f"key-{place}"] = forms.CharField(
                label=column,
                required=False,
                max_length=LONGEST_COLUMN,
                initial=mapping.keys.get(column, ""),
                widget=forms.TextInput(attrs={"autocomplete": "off", "aria-label": f"{column} is sent as"}),
            )

    def columns(self) -> list[tuple[forms.BoundField, list[str]]]:
        """The field of each column, with what its first rows hold."""
        return [(self[f"key-{place}"], self._samples.get(column, [])) for place, column in enumerate(self._columns)]

    def mapping(self) -> Mapping:
        """Raises InvalidFields, with its faults at the fields of this form."""
        cleaned = self.cleaned_data
        keys = {column: cleaned[f"key-{place}"] for place, column in enumerate(self._columns)}
        try:
            return read_mapping(
                self._columns, keys, request_id=cleaned["request_id"], external_id=cleaned["external_id"]
            )
        except InvalidFields as error:
            raise InvalidFields({self._own(place): sentences for place, sentences in error.fields.items()}) from None

    def _own(self, place: str) -> str:
        column = place.removeprefix("keys.")
        return f"key-{self._columns.index(column)}" if column in self._columns and place != column else place


def _samples(push: Push) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in PushRow.objects.of_push(push.pk).readable().order_by("number")[:_SAMPLES]:
        content = json.loads(row.content)
        given = dict(zip(push.columns, content, strict=True)) if isinstance(content, list) else content
        for column, value in given.items():
            found.setdefault(column, []).append(_short(value))
    return found


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_SAMPLE else text[: _LONGEST_SAMPLE - 1] + "…"
