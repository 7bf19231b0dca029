"""The filters of a list in words: those that are set, each with the address without it, and how many each state has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any
from urllib.parse import urlencode

from django.db import connection
from django.db.models import QuerySet, TextChoices
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from integrations.models import Integration
from loops.console.lists import chosen, searched
from loops.selecting import Selection
from mobius.api.pagination import MAX_LIMIT, Page
from mobius.projects.models import Project

COUNTED_AT_MOST = 1_000
"""A list that is longer is not counted to its end: a person reads both as "many"."""

_LONGEST_ID = 64


@dataclass(frozen=True, kw_only=True)
class Names:
    """What the filters are called in the address, for which word on the page."""

    state: str
    states: type[TextChoices]
    of: str = ""  # "": the list is that of one integration already
    of_word: str = ""
    through: str = ""  # an integration, beside what `of` says

    @property
    def words(self) -> dict[str, tuple[str, str]]:
        """Of each filter, its name in the address and its word."""
        others = {"since": ("from", "From"), "until": ("to", "To"), "text": ("q", "Search"), "ids": ("id", "Chosen")}
        of = {"of": (self.of, self.of_word)} if self.of else {}
        through = {"through": (self.through, "Integration")} if self.through else {}
        return {"state": (self.state, self.state.capitalize())} | of | through | others


@dataclass(frozen=True)
class Chip:
    """A filter that is set."""

    word: str
    value: str
    address: str  # of the list without it


@dataclass(frozen=True)
class Pill:
    """A state that can be chosen, or is."""

    word: str
    count: str  # "" for all of them
    address: str
    chosen: bool


def as_asked(
    request: HttpRequest,
    page: Page[Any],
    selection: Selection,
    names: Names,
    *,
    counts: Mapping[str, int] | None,
    named: Mapping[str, str],
) -> dict[str, Any]:
    """What a page shows of a list's filters.

    `counts`: how many each state has; None: nobody counts. `named`: the loops and the integrations to choose from, by
    id.
    """
    trouble = trouble_with(request, names)
    chips = chips_of(selection, names, named=named)
    return {
        "page": page,
        "selection": selection,
        "filtered": bool(selection.state or chips),
        "pills": pills_of(selection, names, counts),
        "chips": chips,
        "trouble": trouble,
        "status": 422 if trouble else 200,
        "here": address_of(selection, names),
        "matching": in_figures((counts or {}).get(selection.state, 0)),
    }


def selection_of(request: HttpRequest, names: Names) -> Selection:
    """What the address asks for."""
    return Selection(
        state=chosen(request, names.state, names.states),
        of=request.GET.get(names.of, "")[:_LONGEST_ID] if names.of else "",
        through=request.GET.get(names.through, "")[:_LONGEST_ID] if names.through else "",
        since=_day(request, "from"),
        until=_day(request, "to"),
        text=searched(request),
        ids=",".join(_picked(request)),
    )


def address_of(selection: Selection, names: Names) -> str:
    """The part of the list's address that asks for `selection`, beginning with `?`."""
    words = names.words
    asked = {words[field][0]: value for field, value in selection.as_json().items() if field in words}
    return f"?{urlencode(asked)}"


def chips_of(selection: Selection, names: Names, *, named: Mapping[str, str]) -> list[Chip]:
    """`named`: the names of loops and integrations by their ids. The state is chosen among the pills."""
    set_to = asdict(selection)
    return [
        Chip(word, named.get(set_to[field], set_to[field]), address_of(replace(selection, **{field: ""}), names))
        for field, (_, word) in names.words.items()
        if field != "state" and set_to[field]
    ]


def pills_of(selection: Selection, names: Names, counts: Mapping[str, int] | None) -> list[Pill]:
    def pill(state: str, word: str, count: str) -> Pill:
        return Pill(word, count, address_of(replace(selection, state=state), names), selection.state == state)

    return [pill("", "All", "")] + [
        pill(value, word, "" if counts is None else in_figures(counts.get(value, 0)))
        for value, word in names.states.choices
    ]


def integrations_of(project: Project) -> list[tuple[str, str]]:
    """Those to choose from: ids and names."""
    found = Integration.objects.filter(project=project).order_by("name")
    return list(found.values_list("pk", "name"))


def in_figures(count: int) -> str:
    return f"{COUNTED_AT_MOST:,}+" if count > COUNTED_AT_MOST else f"{count:,}"


def news(request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
    """How many are newer than the newest that the reader has; nothing at all when none is."""
    after = request.GET.get("after", "")[:_LONGEST_ID]
    count = queryset.filter(pk__gt=after).order_by()[: COUNTED_AT_MOST + 1].count() if after else 0
    return render(request, "loops/news.html", {"count": in_figures(count) if count else ""})


def counted(several: Mapping[str, QuerySet[Any]]) -> dict[str, int]:
    """How many each of them finds, at most one more than are counted; one statement, and each stops at its end."""
    parts, parameters = [], []
    for queryset in several.values():
        sliced = queryset.values("pk")[: COUNTED_AT_MOST + 1]
        sql, given = sliced.query.get_compiler(connection=connection).as_sql()
        parts.append(f"(SELECT COUNT(*) FROM ({sql}) AS found)")  # noqa: S608 - as Django compiled it
        parameters += given
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(parts)}", parameters)
        return dict(zip(several, cursor.fetchone(), strict=True))


def _picked(request: HttpRequest) -> list[str]:
    """What was ticked, each in a parameter of its own, or all in one."""
    ids = [one.strip()[:_LONGEST_ID] for value in request.GET.getlist("id") for one in value.split(",")]
    return list(dict.fromkeys(one for one in ids if one))[:MAX_LIMIT]


def trouble_with(request: HttpRequest, names: Names) -> str:
    """What is wrong with the address's filters, for a person; "" when nothing is."""
    state = request.GET.get(names.state, "")
    if state and state not in names.states.values:
        return f"There is no {names.state} “{state[:_LONGEST_ID]}”."
    wrong = [name for name in ("from", "to") if request.GET.get(name, "").strip() and not _day(request, name)]
    return f"Write the day “{wrong[0]}” like 2026-11-28." if wrong else ""


def _day(request: HttpRequest, name: str) -> str:
    """A day that is none filters nothing; `trouble_with` says so."""
    try:
        day = date.fromisoformat(request.GET.get(name, "").strip()[:_LONGEST_ID])
    except ValueError:
        return ""
    return day.isoformat() if 2000 <= day.year < 2200 else ""
