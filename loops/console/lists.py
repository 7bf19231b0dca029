"""What lists that can be searched have in common: what their address asks for."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet, TextChoices
from django.http import HttpRequest

LONGEST_SEARCH = 300
"""Characters: every id that can be searched is shorter."""

_FOUND_AT_MOST = 1_000
"""By one look-up, however many there are."""


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
