"""Searches by whole ids. Each is answered from an index, however large the table; nothing is searched within a text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.db.models import Model, QuerySet

from mobius.projects.models import Project

Q = TypeVar("Q", bound=QuerySet[Any])
MOST_FOUND = 500
"""Rows that one id stands in, such as a request_id that a loop sends with every row."""
LONGEST = 300


@dataclass(frozen=True, kw_only=True)
class Search:
    """What a list can be searched by, as columns of its model."""

    help: str
    ids: tuple[str, ...] = ("pk",)  # columns with an index, or of small tables
    in_projects: tuple[str, ...] = ()  # columns whose index begins with the project, and leaves empty texts out
    elsewhere: Callable[[str], list[QuerySet[Any]]] = lambda text: []  # other ways to keys, each as a list of them
    of: Mapping[str, str] = field(default_factory=dict)  # columns by the prefix of the ids that very many rows may have
    project: str = ""  # the column that leads to the project, directly or over something of it

    def find(self, rows: QuerySet[Any], text: str) -> QuerySet[Any]:
        """Those of `rows` that `text` stands in."""
        text = text.strip()[:LONGEST]
        if not text:
            return rows
        for prefix, column in self.of.items():
            if text.startswith(f"{prefix}_"):
                return rows.filter(**{column: text})
        if found := self._keys(rows.model, text):
            return rows.filter(pk__in=found)
        project = Project.objects.filter(handle=text).first() if self.project else None
        return self._in_project(rows, project) if project else rows.none()

    def _keys(self, model: type[Model], text: str) -> list[Any]:
        """In one statement: an OR over several columns would read the whole table."""
        rows = model._default_manager.order_by()
        searches = [rows.filter(**{column: text}) for column in self.ids if _may_be(model, column, text)]
        searches += [in_every_project(rows).filter(**{one: text}).exclude(**{one: ""}) for one in self.in_projects]
        keys = [search.values_list("pk", flat=True) for search in searches] + self.elsewhere(text)
        if not keys:
            return []
        first, *others = keys
        return list((first.union(*others, all=True) if others else first)[:MOST_FOUND])

    def _in_project(self, rows: QuerySet[Any], project: Project) -> QuerySet[Any]:
        related: Any = rows.model._meta.get_field(self.project).related_model
        if related is Project:
            return rows.filter(**{self.project: project})
        return rows.filter(**{f"{self.project}__in": related._default_manager.filter(project=project)})


def in_every_project(rows: Q) -> Q:
    """All of them, in words that let an index answer that begins with the project."""
    return rows.filter(project__in=Project.objects.order_by())


def _may_be(model: type[Model], column: str, text: str) -> bool:
    """Can such a text stand in this column? A number is not sought among texts, and the other way round."""
    kept: Any = model._meta.pk if column == "pk" else model._meta.get_field(column.partition("__")[0])
    is_number = kept.get_internal_type() in ("BigAutoField", "AutoField", "IntegerField")
    return not is_number or (text.isascii() and text.isdigit() and len(text) < 19)
