"""Admin pages that only show: history has no form, no button that deletes, and no list that counts a whole table.

Bodies are people's data, so support sees their shape: every text is cut to its first character (safety §6).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.options import BaseModelAdmin
from django.contrib.admin.utils import quote
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from mobius.api.parsing import parse_json
from mobius.errors import MobiusError

LONGEST_SHOWN = 4000
MOST_LINES = 50
"""In one field of a page."""
EMPTY = "–"

_PLACEHOLDER = re.compile(r"\$?\{\{[^{}]{0,80}\}\}")


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts as far as anybody pages: an exact count reads the whole table, and there may be a million runs."""

    most = 5000

    @cached_property
    def count(self) -> int:
        found: Any = self.object_list
        return int(found.values("pk")[: self.most].count()) if isinstance(found, QuerySet) else len(found)


class ReadOnly:
    """Nobody adds, changes or deletes here, superusers included: the verbs of the product do, and write it down."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class LeanLists(BaseModelAdmin):  # type: ignore[type-arg]
    """Lists that read no column for nothing."""

    not_in_lists: ClassVar[tuple[str, ...]] = ()  # columns that a list does not show, such as bodies

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer(*self.not_in_lists)


class SupportAdmin(LeanLists, admin.ModelAdmin):  # type: ignore[type-arg]
    """A list for large tables: newest first, found by exact ids, in a fixed number of statements."""

    show_full_result_count = False
    paginator = CappedPaginator
    list_per_page = 50
    ordering: ClassVar[tuple[str, ...]] = ("-pk",)
    actions: Any = None

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """One thing with all its columns, which the list's statement leaves out."""
        related = self.list_select_related if isinstance(self.list_select_related, list | tuple) else ()
        things = self.model._default_manager.select_related(*related)
        try:
            return things.filter(pk=self.model._meta.pk.to_python(object_id)).first()
        except (ValidationError, ValueError):
            return None


class ReadingAdmin(ReadOnly, SupportAdmin):
    """A list and a page of things that nobody edits."""

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields or ()


class ReadingInline(ReadOnly, LeanLists, admin.TabularInline):  # type: ignore[type-arg]
    """Rows below a page, each with a link to its own."""

    extra = 0
    show_change_link = True
    verbose_name_plural = None

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields or ()


def masked(value: Any) -> str:
    """JSON with its keys, and of each text and number only a hint: `{"email": "a… (15 characters)"}`."""
    if value in (None, "", {}, []):
        return EMPTY
    return _cut(json.dumps(_hints(value), ensure_ascii=False, indent=2))


def masked_text(text: str) -> str:
    """A body as it was sent or answered: masked when it is JSON; other text, such as `OK`, by its beginning."""
    if not text:
        return EMPTY
    try:
        return masked(parse_json(text.encode(errors="replace")))
    except MobiusError:
        return text if len(text) <= 20 else f"{text[:20]}… ({len(text):,} characters)"


def preformatted(text: str) -> SafeString:
    return format_html("<pre>{}</pre>", _cut(text))


def link(model: type[Model], key: Any, label: str = "") -> SafeString | str:
    """To the admin page of `model`'s row `key`."""
    if not key:
        return EMPTY
    page = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[quote(key)])
    return format_html('<a href="{}">{}</a>', page, label or key)


def lines(rows: Iterable[tuple[Any, ...]], template: str) -> SafeString | str:
    """One line for each row."""
    return format_html_join("", f"<div>{template}</div>", rows) or EMPTY


def _hints(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _hints(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_hints(inner) for inner in value]
    if isinstance(value, str):
        return value if len(value) < 2 or _PLACEHOLDER.fullmatch(value) else f"{value[0]}… ({len(value):,} characters)"
    if isinstance(value, bool) or value is None:
        return value
    return "a number"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}\n… ({len(text):,} characters in all)"
