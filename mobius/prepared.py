"""Statements that Django compiles once instead of at every call, for the few places that run for every row.

Compiling a statement costs Django ten times what SQLite takes to run it. A prepared statement is written as any other
(a queryset, a model's fields), compiled when it is first used, and afterwards only gets its values.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from django.db import connection, models
from django.db.models.query import get_related_populators

M = TypeVar("M", bound=models.Model)


class Select(Generic[M]):
    """A query whose values are texts, such as ids: `Select(lambda id: Run.objects.filter(pk=id))`.

    The lambda is called once, with marks in place of the values. Rows come as instances, with what `select_related`
    joins; deferred fields, annotations and values other than text are not for this.
    """

    def __init__(self, build: Callable[..., models.QuerySet[M]]) -> None:
        self._build = build
        self._plans: dict[str, _Plan[M]] = {}
        self._lock = threading.Lock()

    def __call__(self, *values: str) -> list[M]:
        plan = self._plans.get(connection.vendor) or self._prepare(len(values))
        with connection.cursor() as cursor:
            cursor.execute(plan.sql, [values[param] if type(param) is int else param.value for param in plan.params])
            rows = cursor.fetchall()
        return [plan.instance(row) for row in rows]

    def first(self, *values: str) -> M | None:
        found = self(*values)
        return found[0] if found else None

    def _prepare(self, count: int) -> _Plan[M]:
        with self._lock:
            plan = _Plan(self._build(*(f"\ue000{number}\ue001" for number in range(count))), count)
            self._plans[connection.vendor] = plan
            return plan


class _Fixed:
    """A value that the query itself holds."""

    def __init__(self, value: Any) -> None:
        self.value = value


class _Plan(Generic[M]):
    def __init__(self, queryset: models.QuerySet[M], count: int) -> None:
        compiler = queryset.query.get_compiler(using=queryset.db)
        self.sql, params = compiler.as_sql()
        marks = {f"\ue000{number}\ue001": number for number in range(count)}
        self.params: list[Any] = [
            marks[param] if isinstance(param, str) and param in marks else _Fixed(param) for param in params
        ]
        klass_info: Any = compiler.klass_info
        columns: Any = compiler.select
        self._converters = list(compiler.get_converters([column[0] for column in columns]).items())
        self._model: type[M] = klass_info["model"]
        positions = klass_info["select_fields"]
        self._own = slice(positions[0], positions[-1] + 1)
        self._names = [column[0].target.attname for column in columns[self._own]]
        self._related = get_related_populators(klass_info, columns, queryset.db)
        self._database = queryset.db

    def instance(self, row: Sequence[Any]) -> M:
        values = list(row)
        for position, (converters, expression) in self._converters:
            value = values[position]
            for convert in converters:
                value = convert(value, expression, connection)
            values[position] = value
        found = self._model.from_db(self._database, self._names, values[self._own])
        for related in self._related:
            related.populate(values, found)
        return found


class Insert(Generic[M]):
    """INSERT of whole instances whose keys are set, or made by the database."""

    def __init__(self, model: type[M]) -> None:
        self._fields = [field for field in model._meta.local_concrete_fields if not isinstance(field, models.AutoField)]
        columns = ", ".join(f'"{field.column}"' for field in self._fields)
        self._sql = f'INSERT INTO "{model._meta.db_table}" ({columns}) VALUES '
        self._marks = f"({', '.join(['%s'] * len(self._fields))})"

    def __call__(self, *instances: M) -> None:
        if not instances:
            return
        values = [
            field.get_db_prep_save(field.pre_save(instance, True), connection)
            for instance in instances
            for field in self._fields
        ]
        with connection.cursor() as cursor:
            cursor.execute(self._sql + ", ".join([self._marks] * len(instances)), values)
        for instance in instances:
            instance._state.adding = False
            instance._state.db = "default"


class Update(Generic[M]):
    """UPDATE of the fields `writes` where the fields `where` have given values. Calling it returns how many it met."""

    def __init__(self, model: type[M], *, writes: Sequence[str], where: Sequence[str]) -> None:
        self._writes = [model._meta.get_field(name) for name in writes]
        self._where = [model._meta.get_field(name) for name in where]
        assignments = ", ".join(f'"{field.column}" = %s' for field in self._writes)
        conditions = " AND ".join(f'"{field.column}" = %s' for field in self._where)
        self._sql = f'UPDATE "{model._meta.db_table}" SET {assignments} WHERE {conditions}'

    def __call__(self, writes: Mapping[str, Any] | M, where: Mapping[str, Any]) -> int:
        """`writes`: the values by attribute name, or the instance that has them."""
        read = writes.get if isinstance(writes, Mapping) else lambda name: getattr(writes, name)
        values = [field.get_db_prep_save(read(field.attname), connection) for field in self._writes]
        values += [field.get_db_prep_save(where[field.attname], connection) for field in self._where]
        with connection.cursor() as cursor:
            cursor.execute(self._sql, values)
            return int(cursor.rowcount)
