"""What makes a database take an index, or leave it to another."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Any, TypeVar

from django.db import connection
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Coalesce

Rows = TypeVar("Rows", bound=QuerySet[Any])


def one_of(field: str, values: Iterable[str]) -> Q:
    """The condition of an index that holds these values alone, and answers for each of them.

    As OR: that an index holds one out of IN is beyond SQLite.
    """
    return reduce(or_, (Q(**{field: str(value)}) for value in values))


def by_another_index(rows: Rows, field: str, value: str) -> Rows:
    """Those whose `field`, a text, is `value`, found by an index of something else that is asked for.

    PostgreSQL tells by its statistics which one serves better. SQLite has none, and takes the one that knows more
    columns, unless it is given an expression.
    """
    if connection.vendor == "postgresql":
        return rows.filter(**{field: value})
    return rows.alias(**{f"{field}_itself": Coalesce(field, Value(""))}).filter(**{f"{field}_itself": value})
