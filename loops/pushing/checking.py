"""The dry run: what pushing these rows would do. Sends nothing, and writes down which rows cannot go, and why."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import starmap
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import F

from integrations import delivering, ledger
from integrations.choosing import Chosen, choose
from integrations.delivering import CALLBACK_PLACEHOLDER, Order
from integrations.models import Integration
from integrations.providers.errors import RowTooLarge
from integrations.providers.registry import get_provider
from loops.models import Push, PushRow, PushState, RowState
from loops.models.pushes import LONGEST_REASON, RowChange
from loops.pushing.drafting import note
from loops.pushing.mapping import Mapping
from loops.queue import Queue, queue_of
from mobius.errors import Conflict, MobiusError
from mobius.projects.auditing import Actor

BATCH = 500
_TURN = 50
"""Rows that are judged at a stretch. Then others get their turn: a thread that only computes gives it away by itself
not before 20 ms are over (mobius/working.py), and a page needs it dozens of times."""
_MOMENT_SECONDS = 0.0005
EXAMPLES = 5
"""Rows of each kind that the report names."""

TOO_LARGE = "too_large"
UNREADABLE = "unreadable"
NO_REQUEST_ID = "no_request_id"
TWICE = "twice_in_the_file"
SENT_BEFORE = "sent_before"
REFUSED = "refused"
LEFT_OUT = (UNREADABLE, TOO_LARGE, REFUSED, NO_REQUEST_ID, TWICE, SENT_BEFORE)
"""Why a row would not be sent, in the order in which a report tells of it."""
OTHER_CONTENT = "other_content"
"""Sent all the same: another row went out under the same request_id before."""


class NotNow(Conflict):
    """The push has been started already, has ended, or was discarded."""


class _Row(NamedTuple):
    """What a row is judged by."""

    pk: int
    number: int
    line: int
    content: str


@dataclass
class _Found:
    """What the dry run has found so far."""

    ready: int = 0
    reasons: dict[str, dict[str, Any]] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)  # where each request_id stands first

    def note(self, kind: str, line: int, sentence: str) -> None:
        one = self.reasons.setdefault(kind, {"count": 0, "examples": []})
        one["count"] += 1
        if len(one["examples"]) < EXAMPLES:
            one["examples"].append({"line": line, "reason": sentence})

    def as_json(self) -> dict[str, Any]:
        return {"ready": self.ready, "reasons": self.reasons}


def check(push: Push, mapping: Mapping, *, by: Actor) -> Push:
    """Judge every row under `mapping`, and write down what was found. Sends nothing.

    Raises NotNow, Conflict when another dry run overtakes this one or the integration is gone, and NotConnected.
    """
    way = _way(push)
    begun = _begin(push, mapping, by)
    found = _Found()
    for row in PushRow.objects.of_push(push.pk).filter(unreadable=True).order_by("number").iterator(BATCH):
        found.note(UNREADABLE, row.line, row.reason)
    for batch in _in_batches(push):
        _judge_batch(begun, mapping, way, batch, found)
    with transaction.atomic():
        _demand_mine(begun)
        begun.state, begun.report = PushState.CHECKED, found.as_json()
        begun.save(update_fields=["state", "report"])
    return begun


def forecast(push: Push) -> Queue | None:
    """What sending the rows that were found ready takes just now. None: the integration is gone."""
    if push.integration is None:
        return None
    return replace(queue_of(push.integration), rows=int(push.report.get("ready", 0)))


def action_for(integration: Integration) -> str:
    """The action that makes a row of a payload."""
    provider = get_provider(integration.provider)
    return provider.action_name(provider.actions[0])


def hold(push: Push) -> Push:
    """The push as it is now, held until the transaction ends. Raises NotNow when somebody has discarded it."""
    held = Push.objects.held(push.pk).select_related("integration__pacer", "loop").first()
    if held is None:
        raise NotNow("The push was discarded.")
    return held


def _in_batches(push: Push) -> Iterator[list[_Row]]:
    """All readable rows, in their order."""
    last = 0
    rows = PushRow.objects.of_push(push.pk).readable().order_by("number").values_list(*_Row._fields)
    while batch := list(starmap(_Row, rows.filter(number__gt=last)[:BATCH])):
        yield batch
        last = batch[-1].number


def _way(push: Push) -> Chosen:
    if push.integration is None:
        raise Conflict(f"The integration {push.integration_name} is disconnected: push the file to another one.")
    return choose(push.project_id, action_for(push.integration), name=push.integration.pk)


@transaction.atomic
def _begin(push: Push, mapping: Mapping, by: Actor) -> Push:
    """What an earlier dry run found is forgotten. Raises NotNow."""
    held = hold(push)
    if held.state not in (PushState.DRAFT, PushState.CHECKED):
        raise NotNow(f"The push is {held.state}: its columns cannot be changed any more.")
    held.state, held.mapping, held.report, held.revision = PushState.DRAFT, mapping.as_json(), {}, held.revision + 1
    held.save(update_fields=["state", "mapping", "report", "revision"])
    rows = PushRow.objects.of_push(push.pk).readable().in_states(RowState.LEFT_OUT)
    rows.update(state=RowState.WAITING, reason="")
    note(held, "check", by)
    return held


def _demand_mine(begun: Push) -> None:
    """In the caller's transaction. Raises Conflict when the push was changed since this dry run has begun."""
    mine = Push.objects.filter(pk=begun.pk, state=PushState.DRAFT, revision=begun.revision)
    if not mine.update(revision=F("revision")):
        raise Conflict("Somebody else has changed this push meanwhile: look at it again.")


def _judge_batch(begun: Push, mapping: Mapping, way: Chosen, batch: list[_Row], found: _Found) -> None:
    events = [mapping.event(json.loads(row.content), begun.columns) for row in batch]
    known = _known(way, [event["request_id"] for event in events])
    left_out = []
    for row, event in zip(batch, events, strict=True):
        if row.number % _TURN == 0:
            time.sleep(_MOMENT_SECONDS)
        kind, sentence = _verdict(begun, mapping, way, event, row.line, known, found)
        if kind == OTHER_CONTENT or not kind:
            found.ready += 1
        if kind:
            found.note(kind, row.line, sentence)
        if kind and kind != OTHER_CONTENT:
            left_out.append(RowChange(RowState.LEFT_OUT.value, sentence[:LONGEST_REASON], "", row.pk))
    if left_out:
        with transaction.atomic():
            _demand_mine(begun)
            PushRow.objects.change(left_out)


def _known(way: Chosen, request_ids: Iterable[str]) -> dict[str, set[str]]:
    if not way.integration.never_twice:
        return {}
    return ledger.known_among(way.webhook.destination, {one for one in request_ids if one})


def _verdict(
    push: Push,
    mapping: Mapping,
    way: Chosen,
    event: dict[str, Any],
    line: int,
    known: dict[str, set[str]],
    found: _Found,
) -> tuple[str, str]:
    """What stands against the row, if anything, and the sentence for a person."""
    request_id = event["request_id"]
    if mapping.request_id and not request_id:
        return NO_REQUEST_ID, f"Its cell {mapping.request_id} is empty, so nobody could tell it from other rows."
    if not event["row"]:
        return REFUSED, "It has none of the columns that are sent."
    parameters = {"payload": event["row"], "request_id": request_id, "external_id": event["external_id"]}
    try:
        parcel = delivering.pack(Order(project_id=push.project_id, action="", parameters=parameters), way)
    except RowTooLarge as error:
        return TOO_LARGE, error.message
    except MobiusError as error:
        return REFUSED, error.message
    if CALLBACK_PLACEHOLDER in parcel.body:
        return REFUSED, f"It holds the text {CALLBACK_PLACEHOLDER}, which only a loop may ask for."
    if not request_id:
        return "", ""
    if first := found.lines.get(request_id):
        return TWICE, f"Its request_id {request_id[:100]} stands in line {first:,} already."
    found.lines[request_id] = line
    digests = known.get(request_id, set())
    if parcel.body_digest in digests:
        return SENT_BEFORE, f"This very row was sent before, under the request_id {request_id[:100]}."
    if digests:
        return OTHER_CONTENT, f"Another row was sent under the request_id {request_id[:100]} before."
    return "", ""
