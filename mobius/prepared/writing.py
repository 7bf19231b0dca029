"""New rows, and changed ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, models
from django.db.models.base import ModelState

from mobius.engine.gathering import Missed, write_later
from mobius.prepared.columns import Columns, many
from mobius.prepared.running import here, run, run_for_each

M = TypeVar("M", bound=models.Model)


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
        self._columns = Columns(
            field for field in model._meta.local_concrete_fields if not isinstance(field, models.AutoField)
        )
        self._defaults = {field.attname: field.get_default() for field in self._columns.fields if not field.primary_key}
        # Names of tables and columns only; values are always parameters.
        self._into = f'INSERT INTO "{model._meta.db_table}" ({", ".join(self._columns.sql)}) '
        self._one = f"{self._into}VALUES ({', '.join(['%s'] * len(self._columns.sql))})"

    def later(self, *rows: M | dict[str, Any]) -> None:
        """With those of the others in this transaction, if they are gathered (mobius/engine/gathering.py)."""
        if rows and not write_later(self._write, rows):
            self(*rows)

    def _write(self, gathered: list[Sequence[M | dict[str, Any]]]) -> None:
        self(*(row for rows in gathered for row in rows))

    def __call__(self, *rows: M | dict[str, Any]) -> None:
        if not rows:
            return
        database = here.database
        whole = [self._defaults | row if isinstance(row, dict) else row for row in rows]
        if len(rows) > 1 and database.vendor == "postgresql":  # one statement, and one plan, for any number of rows
            run(database, self._of_many, [many(map(self._columns.raw, whole))])
        else:
            run_for_each(database, self._one, [self._columns.values(row, database) for row in whole])
        for row in rows:
            if not isinstance(row, dict):
                row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS

    @cached_property
    def _of_many(self) -> str:
        return f"{self._into} SELECT * FROM {self._columns.recordset('new', here.database)}"  # noqa: S608


class Update(Generic[M]):
    """UPDATE of the fields `writes` where the fields `where` have given values. Calling it returns how many it met."""

    def __init__(self, model: type[M], *, writes: Sequence[str], where: Sequence[str]) -> None:
        self._writes = Columns(model._meta.get_field(name) for name in writes)
        self._where = Columns(model._meta.get_field(name) for name in where)
        assignments = ", ".join(f"{column} = %s" for column in self._writes.sql)
        conditions = " AND ".join(f"{column} = %s" for column in self._where.sql)
        self._table = model._meta.db_table
        self._sql = f'UPDATE "{self._table}" SET {assignments} WHERE {conditions}'  # noqa: S608

    def later(self, writes: Mapping[str, Any] | M, where: Mapping[str, Any]) -> int:
        """With the others in this transaction, if they are gathered: then it is taken for granted that it meets one
        row, and whoever writes them all raises Missed if one does not."""
        return 1 if write_later(self._write, (writes, where)) else self(writes, where)

    def _write(self, gathered: list[tuple[Mapping[str, Any] | M, Mapping[str, Any]]]) -> None:
        database = here.database
        if len(gathered) > 1 and database.vendor == "postgresql":
            rows = (self._writes.raw(writes) + self._where.raw(where) for writes, where in gathered)
            met = run(database, self._of_many, [many(rows)]).rowcount
        else:
            each = [self._params(writes, where, database) for writes, where in gathered]
            met = run_for_each(database, self._sql, each).rowcount
        if met != len(gathered):
            raise Missed(f"of {len(gathered)} rows of {self._table} only {met} were as they were believed to be")

    @cached_property
    def _of_many(self) -> str:
        database = here.database
        both = Columns([*self._writes.fields, *self._where.fields])
        names = [f"v{number}" for number in range(len(both.fields))]
        pairs = [f"{column} = new.{name}" for column, name in zip(both.sql, names, strict=True)]
        written = len(self._writes.fields)
        assignments = ", ".join(pairs[:written])
        conditions = " AND ".join(f'"{self._table}".{pair}' for pair in pairs[written:])
        return f'UPDATE "{self._table}" SET {assignments} FROM {both.recordset("new", database)} WHERE {conditions}'  # noqa: S608

    def __call__(self, writes: Mapping[str, Any] | M, where: Mapping[str, Any]) -> int:
        """`writes`: the values by attribute name, or the instance that has them."""
        database = here.database
        return int(run(database, self._sql, self._params(writes, where, database)).rowcount)

    def _params(self, writes: Mapping[str, Any] | M, where: Mapping[str, Any], database: Any) -> list[Any]:
        return self._writes.values(writes, database) + self._where.values(where, database)
