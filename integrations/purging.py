"""Forgetting what old rows held. The log, the counts and the ledger stay: a row is never sent twice for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Manager

from integrations.models import Attempt

BATCH = 500
"""Rows in one transaction: a row that wants to go out meanwhile waits for a moment only."""


@dataclass(kw_only=True)
class Walk:
    """Goes through what is old, a page at a time, in the order in which it was made.

    Knows from then on how far it has come, so that the next time it begins there.
    """

    name: str  # of what it goes through, in the plural
    objects: Manager[Any]
    made_at: str  # the field that says when
    forget: Callable[[list[str], datetime], int]  # blanks those of a page that may be; how many those were
    batch: int = BATCH
    last: str = field(default="", init=False)

    def pages(self, before: datetime) -> Iterator[int]:
        """Forget what was made before `before`. Yields after each page what it has forgotten, which may be nothing."""
        while page := self._next_page(before):
            yield self.forget(page, before)
            self.last = page[-1]

    def _next_page(self, before: datetime) -> list[str]:
        later = self.objects.filter(pk__gt=self.last).order_by("pk").values_list("pk", self.made_at)
        page: list[str] = []
        for pk, made_at in later[: self.batch]:
            if made_at >= before:
                break
            page.append(pk)
        return page


def through_attempts(*, batch: int = BATCH) -> Walk:
    return Walk(name="attempts", objects=Attempt.objects, made_at="created_at", forget=_blank, batch=batch)


def _blank(ids: list[str], before: datetime) -> int:
    return Attempt.objects.to_purge(before).filter(pk__in=ids).update(body="", response="")
