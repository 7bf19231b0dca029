"""Pages of rows, as lists of the console show them."""

from __future__ import annotations

from typing import TypeVar

from django.core.exceptions import BadRequest
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from mobius.api.pagination import Page, page_of
from mobius.errors import InvalidFields

ROWS = 50
"""On one page, unless the address asks for another number."""

M = TypeVar("M", bound=Model)


def rows(request: HttpRequest, queryset: QuerySet[M]) -> Page[M]:
    """The page that the address asks for. A cursor that is not ours is a bad request, not an empty list."""
    try:
        return page_of(queryset, request.GET, default_limit=ROWS)
    except InvalidFields as error:
        raise BadRequest(error.message) from None
