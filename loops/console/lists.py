"""What the lists have in common: what their address asks for, and the page of rows that it gets."""

from __future__ import annotations

from typing import Any, TypeVar

from django.core.exceptions import BadRequest
from django.db.models import Model, QuerySet, TextChoices
from django.http import HttpRequest

from mobius.api.pagination import Page, page_of
from mobius.errors import InvalidFields

LONGEST_SEARCH = 300
"""Characters: every id that can be searched is shorter."""

_FOUND_AT_MOST = 1_000
"""By one look-up, however many there are."""

M = TypeVar("M", bound=Model)


def rows(request: HttpRequest, queryset: QuerySet[M]) -> Page[M]:
    """The page that the address asks for. A cursor that is not ours is a bad request, not an empty list."""
    try:
        return page_of(queryset, request.GET)
    except InvalidFields as error:
        raise BadRequest(error.message) from None


def chosen(request: HttpRequest, name: str, choices: type[TextChoices]) -> str:
    """The filter `name` of the address; "" when it is not set, or is none of the choices."""
    value = request.GET.get(name, "")
    return value if value in choices.values else ""


def searched(request: HttpRequest) -> str:
    """What was typed into the search field: an id, so no database needs to see more of it than an id can have."""
    return request.GET.get("q", "").strip()[:LONGEST_SEARCH]


def found_ids(*look_ups: QuerySet[Any]) -> list[str]:
    """The ids of what they find, of each the newest."""
    # One query for each index; OR would have the database read them all.
    return [pk for one in look_ups for pk in one.order_by("-pk").values_list("pk", flat=True)[:_FOUND_AT_MOST]]
