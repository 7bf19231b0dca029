"""What needs a person: the conditions there are, and those who find them.

Knows nothing of integrations and loops: they say what they find (`found_by`), and here it is asked of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import models


class Condition(models.TextChoices):
    """What may be wrong, with the words for a list."""

    BUDGET = "budget", "Budget running out"  # 50, 75, 90, 97 % of a webhook's rows, or all of them
    INTEGRATION = "integration", "Integration failing or paused"  # by the console, not by a person
    LOOP_PAUSED = "loop_paused", "Loop paused"  # by the console, after too many failed runs
    CALLBACKS_OVERDUE = "callbacks_overdue", "Callbacks overdue"  # of a loop
    ROWS_IN_DOUBT = "rows_in_doubt", "Rows in doubt"  # of a project, for some minutes


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A condition that holds now."""

    project_id: str
    condition: Condition
    object_id: str  # of an integration, a loop or a project
    object_name: str  # "" for the project itself
    level: int = 1  # how bad it is; more than before is news
    summary: str  # follows the name, such as `paused after 3 refusals`
    detail: str = ""  # sentences: what happened
    to_do: str  # the one thing to do

    @property
    def key(self) -> tuple[str, str]:
        """Of which there is one open alert at most."""
        return self.condition.value, self.object_id


Finder = Callable[[datetime], Iterable[Finding]]
"""Finds what holds at that moment, in projects that are there, in a number of statements that does not grow."""

_finders: list[Finder] = []


def found_by(finder: Finder) -> None:
    """From now on `finder` is asked, too."""
    if finder not in _finders:
        _finders.append(finder)


def findings(now: datetime) -> list[Finding]:
    """Everything that needs a person now, of all projects."""
    return [finding for finder in _finders for finding in finder(now)]
