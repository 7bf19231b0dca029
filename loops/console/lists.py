"""What lists that can be searched have in common: what their address asks for."""

from __future__ import annotations

from typing import TypeVar

from django.db.models import Model, TextChoices
from django.http import HttpRequest

from mobius import clock
from mobius.api.pagination import Page
from mobius.ids import first_id

LONGEST_SEARCH = 300
"""Characters: every id that can be searched is shorter."""

M = TypeVar("M", bound=Model)


def newest_of(request: HttpRequest, page: Page[M], prefix: str) -> str:
    """The id after which what comes is new to the reader of `page`; "" when he looks at older ones."""
    if request.GET.get("cursor"):
        return ""
    return str(page.items[0].pk) if page.items else first_id(prefix, clock.now())


def chosen(request: HttpRequest, name: str, choices: type[TextChoices]) -> str:
    """The filter `name` of the address; "" when it is not set, or is none of the choices."""
    value = request.GET.get(name, "")
    return value if value in choices.values else ""


def searched(request: HttpRequest) -> str:
    """What was typed into the search field: an id, so no database needs to see more of it than an id can have."""
    return request.GET.get("q", "").strip()[:LONGEST_SEARCH]
