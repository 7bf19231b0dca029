"""What lists are filtered by beside the columns themselves."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from django.contrib.admin import SimpleListFilter
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

from mobius import clock
from mobius.ids import first_id


class Pick(SimpleListFilter):
    """One of a few conditions. What is none of them in the address filters nothing."""

    picks: ClassVar[dict[str, tuple[str, Q]]]  # by their word in the address: the label, and what it means

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(word, label) for word, (label, _) in self.picks.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        picked = self.picks.get(self.value() or "")
        return queryset.filter(picked[1]) if picked else queryset


class Created(SimpleListFilter):
    """By the time in the ids, for which there is an index; no column of a time has one."""

    title = "created"
    parameter_name = "created"
    column: ClassVar[str] = "pk"
    prefix: ClassVar[str] = ""  # of the ids in the column; "": of the model's own

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1", "In the last 24 hours"), ("7", "In the last 7 days"), ("30", "In the last 30 days")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        days = self.value()
        if days not in dict(self.lookup_choices):
            return queryset
        since = clock.now() - timedelta(days=int(days))
        return queryset.filter(**{f"{self.column}__gte": first_id(self.prefix or _prefix(queryset.model), since)})


def created(column: str, prefix: str) -> type[Created]:
    """By the time in the ids of another column."""
    return type("Created", (Created,), {"column": column, "prefix": prefix})


def went_wrong(column: str, *states: str) -> type[Pick]:
    """What has come to one of these states."""
    trouble = Q(**{f"{column}__in": states})
    return type(
        "WentWrong",
        (Pick,),
        {"title": "error", "parameter_name": column, "picks": {"error": ("Has an error", trouble)}},
    )


def _prefix(model: type[Model]) -> str:
    return str(model._meta.pk.default.args[0])
