"""What becomes of a field's value on its way to the database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any

from django.db import models


class Columns:
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

    def recordset(self, name: str, database: Any) -> str:
        """`many` rows that come as one parameter, under `name`; its columns are called v0, v1 and so on."""
        types = ", ".join(f"v{number} {field.db_type(database)}" for number, field in enumerate(self.fields))
        return f"jsonb_to_recordset(%s::jsonb) AS {name}({types})"

    def raw(self, given: Any) -> list[Any]:
        """The values in the columns' order as Python has them, of an instance or of a mapping by attribute name."""
        found = self._of_mapping(given) if isinstance(given, dict) else self._of_instance(given)
        return list(found) if len(self.fields) > 1 else [found]

    def values(self, given: Any, database: Any) -> list[Any]:
        """The same, as the database takes them."""
        values = self.raw(given)
        for position, prepare in self._prepared:
            if (value := values[position]) is not None:
                values[position] = prepare(value, database)
        return values


def many(rows: Iterable[Sequence[Any]]) -> str:
    """The raw values of many rows, for a `recordset`: psycopg writes them quicker than an array for each column."""
    return json.dumps([{f"v{number}": value for number, value in enumerate(row)} for row in rows], default=_as_text)


def _as_text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be written among many rows")


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
