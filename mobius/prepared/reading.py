"""Queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, models
from django.db.models.base import ModelState
from django.db.models.query import get_related_populators

from mobius.engine.gathering import once
from mobius.prepared.running import here, run

M = TypeVar("M", bound=models.Model)


class Rows:
    """A query whose values are texts, such as ids: `Rows(lambda id: Run.objects.filter(pk=id).values_list("name"))`.

    The lambda is called once, with marks in place of the values; values other than text are not for this. Rows come
    as the database holds them: a secret is still encrypted.
    """

    def __init__(self, build: Callable[..., models.QuerySet[Any, Any]]) -> None:
        self._build = build
        self._plan: _Plan | None = None

    def __call__(self, *values: str) -> list[Any]:
        return self._planned(len(values)).rows(values)

    def once(self, *values: str) -> list[Any]:
        """As it was answered before in this transaction, to others that gather (mobius/engine/gathering.py)."""
        return once(self, *values)

    def _planned(self, count: int) -> _Plan:
        if self._plan is None:  # two threads may do this at once: they make the same plan
            self._plan = _Plan(self._build(*(_mark(number) for number in range(count))), count)
        return self._plan


class Select(Rows, Generic[M]):
    """As `Rows`, as instances: `Select(lambda id: Run.objects.filter(pk=id))`.

    With what `select_related` joins; deferred fields and annotations are not for this. `shared` instances are kept for
    as long as their rows stay the same to the last letter, and given to everybody: nobody may change them.
    """

    def __init__(self, build: Callable[..., models.QuerySet[M]], *, shared: bool = False) -> None:
        super().__init__(build)
        self._instance = lru_cache(maxsize=1000)(self._make_instance) if shared else self._make_instance

    def __call__(self, *values: str) -> list[M]:
        plan = self._planned(len(values))
        return [self._instance(plan, row) for row in plan.rows(values)]

    def ending(self, rest: str, *params: Any) -> list[M]:
        """Of a query without a condition: with the rest of it written out, and its parameters as they are."""
        plan = self._planned(0)
        rows = run(here.database, f"{plan.sql} {rest}", params).fetchall()
        return [self._instance(plan, row) for row in rows]

    def of_any(self, values: Sequence[str]) -> list[M]:
        """As for each of `values`, of a query that compares a column with one: in one statement, where that is less."""
        if here.database.vendor != "postgresql" or len(values) < 2:
            return [one for value in values for one in self(value)]
        plan = self._planned(1)
        return [self._instance(plan, row) for row in plan.rows_of_any(values)]

    def _make_instance(self, plan: _Plan, row: tuple[Any, ...]) -> M:
        made: M = plan.instance(row, here.database)
        return made

    def first(self, *values: str) -> M | None:
        found = self(*values)
        return found[0] if found else None


def _mark(number: int) -> str:
    return f"\ue000{number}\ue001"


class _Fixed:
    """A value that the query itself holds."""

    def __init__(self, value: Any) -> None:
        self.value = value


class _Plan:
    """What the database is asked, and how instances are made of what it answers."""

    def __init__(self, queryset: models.QuerySet[Any, Any], count: int) -> None:
        compiler: Any = queryset.query.get_compiler(using=queryset.db)
        self.sql, params = compiler.as_sql()
        marks = {_mark(number): number for number in range(count)}
        self.params: list[Any] = [
            marks[param] if isinstance(param, str) and param in marks else _Fixed(param) for param in params
        ]
        if compiler.klass_info is not None:  # None: a query for values
            self._learn_instances(compiler, queryset.db)

    def _learn_instances(self, compiler: Any, alias: str) -> None:
        found = compiler.get_converters([column[0] for column in compiler.select]).items()
        self._converters = [(position, _quicker(converters), column) for position, (converters, column) in found]
        self._model: Any = compiler.klass_info["model"]
        positions = compiler.klass_info["select_fields"]
        self._own = slice(positions[0], positions[-1] + 1)
        self._names = [column[0].target.attname for column in compiler.select[self._own]]
        self._related = get_related_populators(compiler.klass_info, compiler.select, alias)  # type: ignore[call-arg]  # stubs of 6.x

    def rows(self, values: Sequence[str]) -> list[Any]:
        params = [values[param] if type(param) is int else param.value for param in self.params]
        rows: list[Any] = run(here.database, self.sql, params).fetchall()
        return rows

    def rows_of_any(self, values: Sequence[str]) -> list[Any]:
        params = [list(values) if type(param) is int else param.value for param in self.params]
        rows: list[Any] = run(here.database, self._sql_of_any, params).fetchall()
        return rows

    @cached_property
    def _sql_of_any(self) -> str:
        before, found, after = self.sql.partition(" = %s")
        return f"{before} = ANY(%s){after}" if found else self.sql

    def instance(self, row: Sequence[Any], database: Any) -> Any:
        values = list(row)
        for position, converters, expression in self._converters:
            value = values[position]
            if value is not None:
                for convert in converters:
                    value = convert(value, expression, database)
                values[position] = value
        # What Model.from_db does for a whole row, without its look at every field.
        found = self._model.__new__(self._model)
        found.__dict__.update(zip(self._names, values[self._own], strict=True))
        found._state = ModelState()
        found._state.adding, found._state.db = False, DEFAULT_DB_ALIAS
        for related in self._related:
            related.populate(values, found)
        return found


def _quicker(converters: Sequence[Callable[..., Any]]) -> Sequence[Callable[..., Any]]:
    """SQLite keeps times in UTC without saying so. Django asks its settings about that for each of them."""
    return [_in_utc if one.__name__ == "convert_datetimefield_value" else one for one in converters]


def _in_utc(moment: datetime, _expression: Any, _database: Any) -> datetime:
    return moment.replace(tzinfo=UTC)
