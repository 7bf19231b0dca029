"""What can be done to everything that a list's filters find, in the words in which a person is asked."""

from __future__ import annotations

from dataclasses import dataclass

from loops.console import deliveries, runs
from loops.console.filtering import Names


@dataclass(frozen=True, kw_only=True)
class Deed:
    """What a page asks about."""

    verb: str
    heading: str  # with `{number}` for what was found
    names: Names
    back: str  # the name of the list
    list_name: str
    sentences: tuple[str, ...]
    sends: str  # how the sentence begins that says what goes out; "": nothing does
    danger: bool = False


RETRY = Deed(
    verb="Retry",
    heading="Retry {number}?",
    names=runs.NAMES,
    back="runs",
    list_name="Runs",
    sentences=(
        "Each goes on from the step that failed. Steps that are done are not done again, and a row that was accepted "
        "is not sent again.",
        "A run whose row is in doubt, or that cannot go on, is left alone, and the job says why.",
    ),
    sends="Through",
)
CANCEL = Deed(
    verb="Cancel",
    heading="Cancel {number}?",
    names=runs.NAMES,
    back="runs",
    list_name="Runs",
    sentences=(
        "Each ends at once, whatever it is doing, and cannot be brought back.",
        "Rows that were sent stay in the table. A row that is on its way just now may still arrive.",
        "Nothing is taken from the budget, and nothing is given back to it.",
    ),
    sends="",
    danger=True,
)
SETTLE = Deed(
    verb="Settle",
    heading="Settle {number} in doubt?",
    names=deliveries.NAMES,
    back="deliveries",
    list_name="Deliveries",
    sentences=(
        "Look for all of them in the table first. What you choose holds for every one of them, is written down with "
        "your name, and cannot be changed.",
        "They arrived: they count as accepted, keep their units of the budget, and their runs go on.",
        "They did not arrive, send again: each row goes out once more. One that did arrive is then in the table twice.",
        "They did not arrive, give up: they count as not sent, their units are free again, and their steps fail.",
    ),
    sends="If sent again, through",
)
