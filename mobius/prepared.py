"""Statements that Django compiles once instead of at every call, for the few places that run for every row.

Compiling a statement costs Django ten times what SQLite takes to run it. A prepared statement is written as any other
(a queryset, a model's fields), compiled when it is first used, and afterwards only gets its values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.models.base import ModelState
from django.db.models.query import get_related_populators

M = TypeVar("M", bound=models.Model)


def _run(database: Any, sql: str, params: list[Any]) -> Any:
    """The cursor after the statement. Django's own cursor is for when somebody listens: a test that counts, DEBUG."""
    if database.queries_logged or database.execute_wrappers or database.needs_rollback:
        cursor = database.cursor()
        cursor.execute(sql, params)
        return cursor
    database.ensure_connection()
    with database.wrap_database_errors:
        cursor = database.create_cursor()
        cursor.execute(sql, params)
    return cursor


class Select(Generic[M]):
    """A query whose values are texts, such as ids: `Select(lambda id: Run.objects.filter(pk=id))`.

    The lambda is called once, with marks in place of the values. Rows come as instances, with what `select_related`
    joins; deferred fields, annotations and values other than text are not for this.
    """

    def __init__(self, build: Callable[..., models.QuerySet[M]]) -> None:
        self._build = build
        self._plan: _Plan[M] | None = None

    def __call__(self, *values: str) -> list[M]:
        plan = self._plan or self._prepare(len(values))
        database = connections[DEFAULT_DB_ALIAS]
        params = [values[param] if type(param) is int else param.value for param in plan.params]
        rows = _run(database, plan.sql, params).fetchall()
        return [plan.instance(row, database) for row in rows]

    def first(self, *values: str) -> M | None:
        found = self(*values)
        return found[0] if found else None

    def _prepare(self, count: int) -> _Plan[M]:
        # Two threads may do this at once: they make the same plan.
        self._plan = plan = _Plan(self._build(*(_mark(number) for number in range(count))), count)
        return plan


def _mark(number: int) -> str:
    return f"\ue000{number}\ue001"


class _Fixed:
    """A value that the query itself holds."""

    def __init__(self, value: Any) -> None:
        self.value = value


class _Plan(Generic[M]):
    def __init__(self, queryset: models.QuerySet[M], count: int) -> None:
        compiler = queryset.query.get_compiler(using=queryset.db)
        self.sql, params = compiler.as_sql()
        marks = {_mark(number): number for number in range(count)}
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
        self._related = get_related_populators(klass_info, columns, queryset.db)  # type: ignore[call-arg]  # stubs of 6.x

    def instance(self, row: Sequence[Any], database: Any) -> M:
        values = list(row)
        for position, (converters, expression) in self._converters:
            value = values[position]
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


class _Column:
    """A field, and how a value of it goes to the database."""

    def __init__(self, field: Any) -> None:
        self.name: str = field.attname
        self.sql = f'"{field.column}"'
        self._field = field
        # Texts and numbers go as they are. Looking for what each field would do to them took a sixth of a run.
        self._plain = type(field) in _PLAIN_FIELDS

    def prepared(self, value: Any, database: Any) -> Any:
        if value is None or (self._plain and type(value) in _PLAIN_VALUES):
            return value
        return self._field.get_db_prep_save(value, database)


_PLAIN_FIELDS = (
    *(models.CharField, models.TextField, models.ForeignKey, models.OneToOneField, models.FloatField),
    *(models.IntegerField, models.PositiveIntegerField, models.PositiveSmallIntegerField),
)
_PLAIN_VALUES = (str, int, float)


class Insert(Generic[M]):
    """INSERT of whole instances whose keys and times are set, or made by the database."""

    def __init__(self, model: type[M]) -> None:
        fields = [field for field in model._meta.local_concrete_fields if not isinstance(field, models.AutoField)]
        self._columns = [_Column(field) for field in fields]
        # Names of tables and columns only; values are always parameters.
        self._sql = f'INSERT INTO "{model._meta.db_table}" ({", ".join(one.sql for one in self._columns)}) VALUES '  # noqa: S608
        self._marks = f"({', '.join(['%s'] * len(fields))})"

    def __call__(self, *instances: M) -> None:
        if not instances:
            return
        database = connections[DEFAULT_DB_ALIAS]
        values = [
            column.prepared(getattr(instance, column.name), database)
            for instance in instances
            for column in self._columns
        ]
        _run(database, self._sql + ", ".join([self._marks] * len(instances)), values)
        for instance in instances:
            instance._state.adding = False
            instance._state.db = DEFAULT_DB_ALIAS


class Update(Generic[M]):
    """UPDATE of the fields `writes` where the fields `where` have given values. Calling it returns how many it met."""

    def __init__(self, model: type[M], *, writes: Sequence[str], where: Sequence[str]) -> None:
        self._writes = [_Column(model._meta.get_field(name)) for name in writes]
        self._where = [_Column(model._meta.get_field(name)) for name in where]
        assignments = ", ".join(f"{column.sql} = %s" for column in self._writes)
        conditions = " AND ".join(f"{column.sql} = %s" for column in self._where)
        self._sql = f'UPDATE "{model._meta.db_table}" SET {assignments} WHERE {conditions}'  # noqa: S608

    def __call__(self, writes: Mapping[str, Any] | M, where: Mapping[str, Any]) -> int:
        """`writes`: the values by attribute name, or the instance that has them."""
        given = writes if isinstance(writes, Mapping) else writes.__dict__
        database = connections[DEFAULT_DB_ALIAS]
        values = [column.prepared(given[column.name], database) for column in self._writes]
        values += [column.prepared(where[column.name], database) for column in self._where]
        return int(_run(database, self._sql, values).rowcount)
