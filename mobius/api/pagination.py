"""Pages of a list, newest first, by the id of the last one seen: never an OFFSET, never a count."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db.models import Model, QuerySet

from mobius.errors import InvalidFields

DEFAULT_LIMIT = 20
MAX_LIMIT = 100

_ID = re.compile(r"[A-Za-z0-9_:-]{1,64}")
_NUMBER = re.compile(r"[0-9]{1,6}")

T = TypeVar("T")
M = TypeVar("M", bound=Model)


@dataclass(frozen=True, kw_only=True)
class Page(Generic[T]):
    """One page; `next_cursor` is empty on the last."""

    items: list[T]
    has_more: bool
    next_cursor: str = ""


def page(
    queryset: QuerySet[M],
    request_query: Mapping[str, str],
    *,
    serialize: Callable[[M], Any] | None = None,
    serialize_all: Callable[[list[M]], list[Any]] | None = None,
    max_limit: int = MAX_LIMIT,
) -> dict[str, Any]:
    """The body of a list endpoint: `items`, `has_more` and, if there is more, `next_cursor`.

    Give `serialize`, or `serialize_all` where the items of a page share queries.
    """
    found = page_of(queryset, request_query, max_limit=max_limit)
    items = serialize_all(found.items) if serialize_all else [serialize(item) for item in found.items if serialize]
    body: dict[str, Any] = {"items": items, "has_more": found.has_more}
    if found.next_cursor:
        body["next_cursor"] = found.next_cursor
    return body


def page_of(
    queryset: QuerySet[M],
    request_query: Mapping[str, str],
    *,
    default_limit: int = DEFAULT_LIMIT,
    max_limit: int = MAX_LIMIT,
) -> Page[M]:
    """The page that the query's `cursor` and `limit` ask for, in one statement, ordered by id, newest first.

    Raises InvalidFields for a limit out of bounds and for a cursor that we did not make.
    """
    limit = read_limit(request_query, default=default_limit, most=max_limit)
    after = read_cursor(request_query.get("cursor", ""))
    if after:
        try:
            queryset = queryset.filter(pk__lt=after)
        except ValueError:  # a cursor of another list, whose ids are no numbers
            raise _not_ours() from None
    rows = list(queryset.order_by("-pk")[: limit + 1])
    items, has_more = rows[:limit], len(rows) > limit
    return Page(items=items, has_more=has_more, next_cursor=make_cursor(str(items[-1].pk)) if has_more else "")


def make_cursor(last_id: str) -> str:
    return base64.urlsafe_b64encode(last_id.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> str:
    """The id in a cursor, empty for none."""
    try:
        last_id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except ValueError:
        last_id = ""
    # The decoder skips what it does not know, so only what encodes to the same text is ours.
    if cursor and not (_ID.fullmatch(last_id) and make_cursor(last_id) == cursor):
        raise _not_ours()
    return last_id


def _not_ours() -> InvalidFields:
    return InvalidFields({"cursor": ["This is not a cursor of ours: send back `next_cursor` as it was."]})


def read_limit(request_query: Mapping[str, str], *, default: int = DEFAULT_LIMIT, most: int = MAX_LIMIT) -> int:
    """The query's `limit`. Raises InvalidFields."""
    asked = request_query.get("limit")
    if asked is None:
        return default
    if not _NUMBER.fullmatch(asked) or not 1 <= int(asked) <= most:
        raise InvalidFields({"limit": [f"Send a whole number from 1 to {most}."]})
    return int(asked)
