"""Admin pages that only show: history has no form, no button that deletes, and no list that counts a whole table.

Bodies are people's data, so support sees their shape: every text is cut to its first character (safety §6).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.options import BaseModelAdmin, InlineModelAdmin
from django.contrib.admin.utils import flatten
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from mobius.api.parsing import parse_json
from mobius.errors import MobiusError
from mobius.web.support.linking import EMPTY, LinkedPages
from mobius.web.support.lists import NewestFirst
from mobius.web.support.searching import Search
from mobius.web.templatetags.console import when

LONGEST_SHOWN = 4000
MOST_LINES = 20
"""In one field of a page."""

_PLACEHOLDER = re.compile(r"\$?\{\{[^{}]{0,80}\}\}")


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


class LongLists(admin.ModelAdmin):  # type: ignore[type-arg]
    """A list for tables of any size: newest first, found by whole ids, in a fixed number of statements."""

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # they count the whole table, once for each choice
    list_per_page = 50
    ordering: ClassVar[Any] = ("-pk",)
    sortable_by: ClassVar[Any] = ()
    search: ClassVar[Search]
    indexed_filters: ClassVar[tuple[str, ...]] = ()  # columns: see `by_index`

    def get_changelist(self, request: HttpRequest, **_: Any) -> type[NewestFirst]:
        return NewestFirst

    def by_index(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """The same rows, asked for in the words that an index of the `indexed_filters` answers."""
        return rows

    def get_search_fields(self, request: HttpRequest) -> Any:
        return ("pk",)  # that there is something to search by; what that is, `search` knows

    @property
    def search_help_text(self) -> str:  # type: ignore[override]  # nobody writes it
        return self.search.help

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return self.search.find(queryset, search_term), False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        title = {"title": capfirst(self.model._meta.verbose_name_plural)}
        return super().changelist_view(request, title | (extra_context or {}))


class SupportAdmin(LinkedPages, LeanLists, LongLists):
    """Things that support looks up, each with a page that leads to the console and to what was done to it."""

    actions: Any = None
    page_select_related: ClassVar[tuple[str, ...]] = ()  # beside what the list joins

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """One thing with all its columns, which the list's statement leaves out."""
        related = self.list_select_related if isinstance(self.list_select_related, list | tuple) else ()
        things = self.model._default_manager.select_related(*related, *self.page_select_related)
        try:
            return things.filter(pk=self.model._meta.pk.to_python(object_id)).first()
        except (ValidationError, ValueError):
            return None


class ReadingAdmin(ReadOnly, SupportAdmin):
    """A list and a page of things that nobody edits."""

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields or ()


class Below(ReadOnly, LeanLists, InlineModelAdmin):  # type: ignore[type-arg]
    """Rows below a page, each with a link to its own."""

    extra = 0
    show_change_link = True
    verbose_name_plural = None

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return flatten(self.fields or ())


class ReadingInline(Below):
    """As a table."""

    template = admin.TabularInline.template


class ReadingStack(Below):
    """One under the other, for what has many columns."""

    template = admin.StackedInline.template


def masked(value: Any) -> str:
    """JSON with its keys, and of each text and number only a hint: `{"email": "a… (15 characters)"}`."""
    if value in (None, "", {}, []):
        return EMPTY
    return json.dumps(_hints(value), ensure_ascii=False, indent=2)


def masked_text(text: str) -> str:
    """A body as it was sent or answered: masked when it is JSON; other text, such as `OK`, by its beginning."""
    if not text:
        return EMPTY
    try:
        return masked(parse_json(text.encode(errors="replace")))
    except MobiusError:
        return text if len(text) <= 20 else f"{text[:20]}… ({len(text):,} characters)"


def preformatted(text: str) -> SafeString:
    """Set as it is; a long one is cut, and says how long it is."""
    cut = text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}\n… ({len(text):,} characters in all)"
    return format_html("<pre>{}</pre>", cut)


def lines(rows: Sequence[tuple[Any, ...]], template: str, *, all_of_them: str = "") -> SafeString | str:
    """One line for each row, and where there are more than fit a link to all of them."""
    cells = [tuple(when(cell) if isinstance(cell, datetime) else cell for cell in row) for row in rows[:MOST_LINES]]
    shown = format_html_join("", f"<div>{template}</div>", cells)
    if len(rows) > MOST_LINES and all_of_them:
        shown += format_html('<div><a href="{}">All of them</a></div>', all_of_them)
    return shown or EMPTY


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
