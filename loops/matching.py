"""Which of the callbacks that came is the one that a step waits for?"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from loops.expressions import text_of
from loops.models import Callback, CallbackState, Step
from mobius.prepared import Select

JsonObject = dict[str, Any]

_free = Select(
    lambda source, waiting: Callback.objects.to_step(source).filter(used_by__in=["", waiting]).order_by("id")
)


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What a look through the callbacks of a step found: the first that fits, and what the others are by that."""

    found: Callback | None
    unmatched: list[Callback]  # came before it, and do not fit
    updates: list[Callback]  # came after it, before anybody waited


def look_through(source_step_id: str, wanted: JsonObject, *, waiting: Step, taken: Collection[str] = ()) -> Looked:
    """The first callback to `source_step_id` that has every member of `wanted`, for the step that waits for it.

    `taken` are the ids of those that an earlier step has used in this very turn, which is not written yet.
    """
    came = [callback for callback in _free(source_step_id, waiting.pk) if callback.pk not in taken]
    fitting = next((number for number, callback in enumerate(came) if satisfies(callback.body, wanted)), None)
    if fitting is None:
        return Looked(found=None, unmatched=_only_kept(came), updates=[])
    return Looked(found=came[fitting], unmatched=_only_kept(came[:fitting]), updates=_only_kept(came[fitting + 1 :]))


def satisfies(body: JsonObject, wanted: JsonObject) -> bool:
    """Has `body` every member of `wanted`?

    A value that an expression wrote is text, so text also equals whatever an expression would write in the same way:
    `"7"` the number 7, `"true"` true.
    """
    return all(key in body and _equal(value, body[key]) for key, value in wanted.items())


def _equal(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, str) and not isinstance(found, str):
        return wanted == text_of(found)
    if isinstance(wanted, bool) or isinstance(found, bool):  # to Python, true is 1
        return wanted is found
    return bool(wanted == found)


def _only_kept(callbacks: list[Callback]) -> list[Callback]:
    """Those of which nothing else has been said yet."""
    return [callback for callback in callbacks if callback.state == CallbackState.KEPT]
