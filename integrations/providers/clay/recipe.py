"""Clay's HTTP API column, field by field (clay.md §1.2): what to set so that each row calls us."""

from __future__ import annotations

import re

from ..recipes import Block, Call, HeaderAccount, Recipe, RecipeBook, json_pieces

PER_SECOND = 100
"""What one Clay workspace sends out by itself."""
RETRIES = 5
RETRIED = "408, 429, 500, 501, 502, 503, 504"
"""Of itself Clay tries once more, at once, and only after 408, 413 and 429: a 500 would lose the row's call."""
TIMEOUT_MS = 30_000
"""We answer within milliseconds, before any work begins; a restart of the console may take some seconds. Clay takes
from 1,000 to 100,000."""

_BETWEEN_WORDS = re.compile(r"[\W_]+|(?<=[a-z0-9])(?=[A-Z])")
_IN_CAPITALS = ("id", "url", "api", "ceo", "crm")

_CLICKS = (
    "In the Clay table press + Add column, then Add enrichment, and choose HTTP API.",
    "Choose Configure, and fill in the fields below. Leave alone what is not named here.",
)
_ACCOUNT = HeaderAccount(
    clicks=(
        "In Clay open Settings → Connections, and add an account of the kind HTTP API (Headers).",
        "Give it the header below: the name on the left, the value on the right, with nothing around them. Save it: "
        "Clay keeps it encrypted and does not show it again.",
        "In the column choose this account.",
    ),
    name="Authorization",
    prefix="Bearer ",
)


def column_named(field: str) -> str:
    """`company_domain` is probably the column `Company Domain`, `clay_row_id` the column `Clay Row ID`."""
    words = [word for word in _BETWEEN_WORDS.split(field) if word] or [field]
    return " ".join(word.upper() if word.lower() in _IN_CAPITALS else word[:1].upper() + word[1:] for word in words)


def write(call: Call) -> Recipe:
    blocks = (
        Block(label="Method", pieces=("POST",)),
        Block(
            label="Endpoint",
            pieces=(call.url,),
            hint=""
            if isinstance(call.url, str)
            else "Each row brings its own address: it is the value of this column.",
        ),
        Block(
            label="Body",
            pieces=json_pieces(call.body),
            is_code=True,
            hint="A value between quotation marks arrives as text, one without them as a number or whatever it is.",
        ),
        Block(
            label="Remove empty values",
            pieces=("On",),
            hint="A row without a value then leaves the field out, so that the loop's own default stands in for it.",
        ),
        Block(label="Custom rate limit", pieces=(_rate(call.per_second),), hint=_rate_hint(call.per_second)),
        Block(label="Number of retries", pieces=(str(RETRIES),), hint="Asking again does no harm: it is recognised."),
        Block(label="Status codes to retry", pieces=(RETRIED,)),
        Block(label="Response timeout", pieces=(str(TIMEOUT_MS),), hint="In milliseconds."),
    )
    return Recipe(clicks=_CLICKS, account=_ACCOUNT if call.needs_key else None, blocks=blocks)


def _rate(per_second: int | None) -> str:
    # Clay wants one a second at least.
    asked = PER_SECOND if per_second is None else max(1, min(PER_SECOND, per_second))
    return f"{asked} requests per 1000 ms"


def _rate_hint(per_second: int | None) -> str:
    if per_second is None:
        return "Clay sends no more than this by itself, and we take it."
    taken = f"We take {max(1, per_second):,} a second of one key, and answer 429 to what is above."
    return f"{taken} Clay sends {PER_SECOND} by itself." if per_second >= PER_SECOND else taken


RECIPES = RecipeBook(
    row_field="clay_row_id",
    row_column="Clay Row ID",
    how_to_insert="type / and pick",
    trap="Clay fills in only what was picked with /. Text that looks like a column, typed or pasted, may go out as it "
    "is: every row then sends the same, and what should be many runs would be one. We refuse that where we can tell, "
    "and show it below.",
    limits=(
        f"Clay sends at most {PER_SECOND} requests a second from a workspace, for all of its columns together.",
        "Clay waits for an answer from 1,000 to 100,000 ms. We answer at once, and the run goes on by itself.",
        "By itself Clay tries only once more, and never after a 500: that is why the retries are set.",
        "A column runs again when what it reads changes, and each call costs one Clay action.",
    ),
    answer_costs="Each answer is one run of the table's HTTP API column, which costs one Clay action.",
    column_named=column_named,
    write=write,
)
