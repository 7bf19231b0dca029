"""Statements that Django compiles once instead of at every call, for the few places that run for every row.

Compiling a statement costs Django ten times what SQLite takes to run it. A prepared statement is written as any other
(a queryset, a model's fields), compiled when it is first used, and afterwards only gets its values.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from operator import attrgetter, itemgetter
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.models.base import ModelState
from django.db.models.query import get_related_populators

M = TypeVar("M", bound=models.Model)


class _Here(threading.local):
    """This thread's connection. Django looks for a running event loop whenever it is asked for it."""

    @cached_property
    def database(self) -> Any:
        return connections[DEFAULT_DB_ALIAS]


here = _Here()


def _cursor(database: Any) -> Any:
    """PostgreSQL plans these statements once a connection when it gets their values apart; Django puts them in."""
    if database.vendor != "postgresql":
        return database.create_cursor()
    from psycopg import Cursor  # its package is there only with PostgreSQL

    return Cursor(database.connection)


def _run(database: Any, sql: str, params: Sequence[Any]) -> Any:
    """The cursor after the statement. Django's own cursor is for when somebody listens, as a test that counts."""
    if database.force_debug_cursor or database.execute_wrappers or database.needs_rollback:
        cursor = database.cursor()
        cursor.execute(sql, params)
        return cursor
    if database.connection is None:
        database.connect()
    with database.wrap_database_errors:
        cursor = _cursor(database)
        cursor.execute(sql, params)
    return cursor


def execute(sql: str, *params: Any) -> int:
    """Run a statement that is written out. Returns how many rows it met."""
    return int(_run(here.database, sql, params).rowcount)


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
        rows: list[Any] = _run(here.database, self.sql, params).fetchall()
        return rows

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


class _Columns:
    """Fields of a model, and how their values go to the database.

    Texts and numbers go as they are: asking each field what it would do to them took a sixth of a run.
    """

    def __init__(self, fields: Iterable[Any]) -> None:
        self.fields = list(fields)
        self.names = [field.attname for field in self.fields]
        self.sql = [f'"{field.column}"' for field in self.fields]
        self._of_instance: Callable[[Any], Any] = attrgetter(*self.names)
        self._of_mapping: Callable[[Any], Any] = itemgetter(*self.names)
        self._prepared = [
            (position, _preparing(field)) for position, field in enumerate(self.fields) if not _is_plain(field)
        ]

    def values(self, given: Any, database: Any) -> list[Any]:
        """The values in the columns' order, of an instance or of a mapping by attribute name."""
        found = self._of_mapping(given) if isinstance(given, dict) else self._of_instance(given)
        values = list(found) if len(self.fields) > 1 else [found]
        for position, prepare in self._prepared:
            if (value := values[position]) is not None:
                values[position] = prepare(value, database)
        return values


_PLAIN_FIELDS = (
    *(models.CharField, models.TextField, models.ForeignKey, models.OneToOneField, models.FloatField),
    *(models.IntegerField, models.PositiveIntegerField, models.PositiveSmallIntegerField, models.BooleanField),
)


def _is_plain(field: Any) -> bool:
    return type(field) in _PLAIN_FIELDS and not field.choices


def _preparing(field: Any) -> Callable[[Any, Any], Any]:
    if isinstance(field, models.DateTimeField):
        return lambda value, database: _adapted(database.ops.adapt_datetimefield_value, value)
    if isinstance(field, models.CharField):  # the member of an enumeration, or its text
        return lambda value, database: str.__str__(value)
    if isinstance(field, models.JSONField):
        return _preparing_json(field.encoder)
    return field.get_db_prep_save  # type: ignore[no-any-return]  # a field of any kind


def _preparing_json(encoder: type[json.JSONEncoder] | None) -> Callable[[Any, Any], Any]:
    """Most of what is written is `{}` or `[]`."""
    empty: dict[tuple[type, str], Any] = {}

    def prepared(value: Any, database: Any) -> Any:
        if value:
            return database.ops.adapt_json_value(value, encoder)
        kind = type(value), database.alias
        if kind not in empty:
            empty[kind] = database.ops.adapt_json_value(value, encoder)
        return empty[kind]

    return prepared


@lru_cache(maxsize=128)
def _adapted(adapt: Callable[[datetime], Any], moment: datetime) -> Any:
    """A turn writes one moment to many columns."""
    return adapt(moment)


class New(Generic[M]):
    """Makes instances that are yet to be inserted: as the model itself does, without a look at every field.

    The values are given by attribute name (`run_id`, not `run`); what is left out gets its field's default.
    """

    def __init__(self, model: type[M]) -> None:
        self._model = model
        fields = [field for field in model._meta.local_concrete_fields if not isinstance(field, models.AutoField)]
        self._made = {
            field.attname: field.default for field in fields if field.has_default() and callable(field.default)
        }
        self._fixed = {field.attname: field.get_default() for field in fields if field.attname not in self._made}

    def __call__(self, **values: Any) -> M:
        made = self._model.__new__(self._model)
        made.__dict__.update(self._fixed)
        made.__dict__.update(values)
        for name, default in self._made.items():
            if name not in values:
                made.__dict__[name] = default()
        made._state = ModelState()
        return made


class Insert(Generic[M]):
    """INSERT of whole rows whose keys and times are set, or made by the database.

    A row is an instance, or a dict by attribute name; what a dict leaves out gets its field's default.
    """

    def __init__(self, model: type[M]) -> None:
        self._columns = _Columns(
            field for field in model._meta.local_concrete_fields if not isinstance(field, models.AutoField)
        )
        self._defaults = {field.attname: field.get_default() for field in self._columns.fields if not field.primary_key}
        # Names of tables and columns only; values are always parameters.
        self._sql = f'INSERT INTO "{model._meta.db_table}" ({", ".join(self._columns.sql)}) VALUES '  # noqa: S608
        self._marks = f"({', '.join(['%s'] * len(self._columns.sql))})"

    def __call__(self, *rows: M | dict[str, Any]) -> None:
        if not rows:
            return
        database = here.database
        params: list[Any] = []
        for row in rows:
            params += self._columns.values(self._defaults | row if isinstance(row, dict) else row, database)
        _run(database, self._sql + ", ".join([self._marks] * len(rows)), params)
        for row in rows:
            if not isinstance(row, dict):
                row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS


class Update(Generic[M]):
    """UPDATE of the fields `writes` where the fields `where` have given values. Calling it returns how many it met."""

    def __init__(self, model: type[M], *, writes: Sequence[str], where: Sequence[str]) -> None:
        self._writes = _Columns(model._meta.get_field(name) for name in writes)
        self._where = _Columns(model._meta.get_field(name) for name in where)
        assignments = ", ".join(f"{column} = %s" for column in self._writes.sql)
        conditions = " AND ".join(f"{column} = %s" for column in self._where.sql)
        self._sql = f'UPDATE "{model._meta.db_table}" SET {assignments} WHERE {conditions}'  # noqa: S608

    def __call__(self, writes: Mapping[str, Any] | M, where: Mapping[str, Any]) -> int:
        """`writes`: the values by attribute name, or the instance that has them."""
        database = here.database
        params = self._writes.values(writes, database) + self._where.values(where, database)
        return int(_run(database, self._sql, params).rowcount)
