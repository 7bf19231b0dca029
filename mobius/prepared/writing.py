"""New rows, and changed ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, models
from django.db.models.base import ModelState

from mobius.engine.gathering import write_later
from mobius.prepared.columns import Columns
from mobius.prepared.running import here, run

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
        self._marks = f"({', '.join(['%s'] * len(self._columns.sql))})"

    def later(self, *rows: M | dict[str, Any]) -> None:
        """With those of the others in this transaction, if they are gathered (mobius/engine/gathering.py)."""
        if rows:
            write_later(self._write, rows)

    def _write(self, gathered: list[Sequence[M | dict[str, Any]]]) -> None:
        self(*(row for rows in gathered for row in rows))

    def __call__(self, *rows: M | dict[str, Any]) -> None:
        if not rows:
            return
        database = here.database
        whole = [self._defaults | row if isinstance(row, dict) else row for row in rows]
        if len(rows) > 1 and database.vendor == "postgresql":  # one statement, and one plan, for any number of rows
            run(database, self._into + self._unnested, self._columns.arrays(whole, database))
        else:
            params = [value for row in whole for value in self._columns.values(row, database)]
            run(database, self._into + "VALUES " + ", ".join([self._marks] * len(rows)), params)
        for row in rows:
            if not isinstance(row, dict):
                row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS

    @cached_property
    def _unnested(self) -> str:
        return f"SELECT * FROM {self._columns.unnested(here.database)}"  # noqa: S608


class Update(Generic[M]):
    """UPDATE of the fields `writes` where the fields `where` have given values. Calling it returns how many it met."""

    def __init__(self, model: type[M], *, writes: Sequence[str], where: Sequence[str]) -> None:
        self._writes = Columns(model._meta.get_field(name) for name in writes)
        self._where = Columns(model._meta.get_field(name) for name in where)
        assignments = ", ".join(f"{column} = %s" for column in self._writes.sql)
        conditions = " AND ".join(f"{column} = %s" for column in self._where.sql)
        self._table = model._meta.db_table
        self._sql = f'UPDATE "{self._table}" SET {assignments} WHERE {conditions}'  # noqa: S608

    def later(self, row: M) -> None:
        """Of an instance, by its own `where`, with the others in this transaction if they are gathered; uncounted."""
        write_later(self._write, row)

    def _write(self, rows: list[M]) -> None:
        database = here.database
        if len(rows) > 1 and database.vendor == "postgresql":
            params = self._writes.arrays(rows, database) + self._where.arrays(rows, database)
            run(database, self._of_many, params)
        else:
            for row in rows:
                self(row, {name: getattr(row, name) for name in self._where.names})

    @cached_property
    def _of_many(self) -> str:
        database = here.database
        both = Columns([*self._writes.fields, *self._where.fields])
        names = [f"v{number}" for number in range(len(both.fields))]
        pairs = [f"{column} = new.{name}" for column, name in zip(both.sql, names, strict=True)]
        written = len(self._writes.fields)
        assignments = ", ".join(pairs[:written])
        conditions = " AND ".join(f'"{self._table}".{pair}' for pair in pairs[written:])
        source = f"{both.unnested(database)} AS new({', '.join(names)})"
        return f'UPDATE "{self._table}" SET {assignments} FROM {source} WHERE {conditions}'  # noqa: S608

    def __call__(self, writes: Mapping[str, Any] | M, where: Mapping[str, Any]) -> int:
        """`writes`: the values by attribute name, or the instance that has them."""
        database = here.database
        params = self._writes.values(writes, database) + self._where.values(where, database)
        return int(run(database, self._sql, params).rowcount)
