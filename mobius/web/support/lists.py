"""Lists over tables of any size: newest first and by keys; no count, no offset, no order that no index knows."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.db.models.expressions import Combinable
from django.http import HttpRequest

from mobius.web.support.filters import Created

LOOKS_THROUGH = 10_000
"""Rows at a time, for a filter that no index answers."""


class NewestFirst(ChangeList):
    """One page: what lies before the key in the address. It costs the same on every page, however much there is.

    A filter that fits often is answered by the newest rows, and one that fits seldom by an index, where the admin class
    knows one (`indexed_filters`, `by_index`). Where it knows none the reader is asked whether to look further.
    """

    older_url = ""
    looked_through = ""  # rows, the newest ones, in figures; there may be others further back

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[str | Combinable]:
        return ["-pk"]

    def get_results(self, request: HttpRequest) -> None:
        self.before = self._read_key(request.GET.get(PAGE_VAR, ""))
        found = self._newest()
        self.result_list = found[: self.list_per_page]
        if len(found) > self.list_per_page:
            self.older_url = self.get_query_string({PAGE_VAR: self.result_list[-1].pk})
        self.newest_url = self.get_query_string() if self.before is not None else ""
        # What Django's own templates ask for. What is on the page is all that is known of how much there is.
        self.result_count = self.full_result_count = len(self.result_list)
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.show_admin_actions = bool(self.result_list)
        self.paginator = None

    def _read_key(self, text: str) -> Any:
        """None for what cannot be a key: the list begins with the newest then."""
        try:
            return self.opts.pk.to_python(text) if text else None
        except ValidationError:
            return None

    def _newest(self) -> list[Any]:
        rows, wanted = self._from_here(self.queryset), self.list_per_page + 1
        asked = {name.partition("__")[0] for name in self.get_filters_params()} - {Created.parameter_name}
        floor = self._floor() if asked or self.query else None
        if floor is None:
            return list(rows[:wanted])
        found = list(rows.filter(pk__gte=floor)[:wanted])
        if len(found) == wanted:
            return found
        model_admin: Any = self.model_admin
        if asked & set(model_admin.indexed_filters):
            return list(model_admin.by_index(rows)[:wanted])
        if self.query:  # every search has an index
            return list(rows[:wanted])
        self.looked_through, self.older_url = f"{LOOKS_THROUGH:,}", self.get_query_string({PAGE_VAR: floor})
        return found

    def _from_here(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows if self.before is None else rows.filter(pk__lt=self.before)

    def _floor(self) -> Any:
        """The key of the row that is as far back as is looked through; None when there is none so far back."""
        keys = self._from_here(self.model._default_manager.order_by("-pk")).values_list("pk", flat=True)
        return keys[LOOKS_THROUGH - 1 : LOOKS_THROUGH].first()
