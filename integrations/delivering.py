"""Getting one row out: prepare, reserve, send, record.

`reserve` and `record` work in the caller's transaction, `send` in none. The attempt is committed as `sending` before
the socket opens; whatever is found `sending` after a crash may have arrived, is `in_doubt`, and is never sent again
by itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.db.models import F

from integrations import ledger, outbound, pacing
from integrations.choosing import Chosen, choose
from integrations.judging import Delivery, judge
from integrations.models import (
    Attempt,
    AttemptKind,
    AttemptState,
    Integration,
    IntegrationStatus,
    LedgerEntry,
    Webhook,
)
from integrations.providers.contract import Exchange, Failure, JsonObject, OutgoingRequest, Row, Stage
from integrations.providers.registry import all_actions
from mobius.errors import Conflict
from mobius.ids import new_id
from mobius.prepared import Insert, Update

SEND_SECONDS = 20.0
"""One exchange in all, unless the step's own time-out leaves less (design §4)."""

CALLBACK_PLACEHOLDER = "${{ callback.url }}"
"""Stored bodies hold this; only what goes over the wire holds the address, which is a capability (design §5)."""

_REFUSALS_UNTIL_PAUSED = 3
_TELLING_LENGTH = 8  # shorter parts of a secret stand in many an honest answer
_ALL = 1_000_000


class SubmissionLimitReached(Conflict):
    """The webhook has taken all the rows that it takes for life. Connect the URL of a new webhook."""

    code = "submission_limit_reached"


@dataclass(frozen=True, kw_only=True)
class Order:
    """A row that somebody wants sent, and on whose behalf."""

    project_id: str
    action: str  # full name, such as `clay.webhook.submit`
    parameters: JsonObject  # rendered; holds CALLBACK_PLACEHOLDER where a callback's address belongs
    integration: str = ""  # its name; "": the obvious one
    integration_id: str = ""  # a test names the very integration
    kind: AttemptKind = AttemptKind.RUN
    run_id: str = ""
    step_id: str = ""
    number: int = 1
    callback_url: str = field(default="", repr=False)
    timeout_seconds: float = SEND_SECONDS


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """An order that can go: checked, sized, addressed. Nothing is written yet."""

    order: Order
    chosen: Chosen
    row: Row
    request: OutgoingRequest = field(repr=False)
    body: str = field(repr=False)  # as stored: a callback's address is a placeholder in it
    body_digest: str
    attempt_id: str


@dataclass(frozen=True, kw_only=True)
class Sending:
    """`reserve`: the attempt is written down; the caller commits, then calls `send`."""

    parcel: Parcel
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class NotNow:
    """`reserve`: nothing was taken; ask again at `wake_at`, or when the sweep finds room at `waits_for`."""

    reason: str  # a value of loops' SuspendedFor
    message: str
    wake_at: datetime | None = None
    waits_for: str = ""  # the id of a pacer, an integration or an attempt


@dataclass(frozen=True, kw_only=True)
class AlreadyAccepted:
    """`reserve`: this very row was accepted before; its outcome stands, with `duplicate: true`."""

    delivery: Delivery


_insert_attempt = Insert(Attempt)
_write_outcome = Update(
    Attempt,
    writes=["state", "status_code", "response", "failure", "error_message", "latency_ms", "finished_at"],
    where=["id", "state"],
)


def prepare(order: Order) -> Parcel:
    """Check `order` and make its request. Reads only.

    Raises NotConnected, ActionInputInvalid (also when the row is too large) and SecretUnreadable.
    """
    chosen = choose(order.project_id, order.action, name=order.integration, integration_id=order.integration_id)
    row = chosen.action.read(order.parameters)
    body = json.dumps(row.payload, ensure_ascii=False, separators=(",", ":"))
    payload, callback_of = row.payload, ""
    if order.callback_url and CALLBACK_PLACEHOLDER in body:
        callback_of = order.step_id
        payload = json.loads(body.replace(CALLBACK_PLACEHOLDER, order.callback_url))
    return Parcel(
        order=order,
        chosen=chosen,
        row=row,
        request=chosen.action.request(chosen.connection, payload),
        body=body,
        body_digest=ledger.digest(body, callback_of=callback_of),
        attempt_id=new_id("att"),
    )


def reserve(parcel: Parcel, *, now: datetime) -> Sending | NotNow | AlreadyAccepted:
    """Write the attempt down as `sending`, with its slot, its unit and its ledger entry; or say why not.

    In the caller's transaction, in the lock order pacer, webhook, ledger. Raises SubmissionLimitReached.
    """
    entries = _entries_of(parcel)
    if (answer := _already(parcel, entries)) is not None:
        return answer
    if (answer := _take_slot_and_unit(parcel, now)) is not None:
        return answer
    if _is_guarded(parcel) and not _enter(parcel, now):
        # Somebody entered the very row since we looked; possible only where several processes write.
        _give_back(parcel)
        return _already(parcel, _entries_of(parcel)) or _ask_again(now)
    _write_down(parcel, now)
    if entries:
        warning = f"Another row was sent under the request_id {parcel.row.request_id} before; this one is sent too."
        return Sending(parcel=parcel, warnings=(warning,))
    return Sending(parcel=parcel)


def pacer_of(parcel: Parcel) -> str:
    """The pacer that the row must ask; "" when it goes unpaced."""
    return parcel.chosen.integration.pacer_id if parcel.chosen.pace else ""


def paced(pacer_id: str) -> NotNow:
    return NotNow(reason="paced", message="Waits for its turn at Clay's pace.", waits_for=pacer_id)


def send(sending: Sending, *, on_stage: Callable[[Stage], None] = lambda stage: None) -> Exchange:
    """POST the row once. No transaction may be open; what the network does is never an exception."""
    parcel = sending.parcel
    exchange = outbound.post(
        parcel.request, timeout_seconds=min(parcel.order.timeout_seconds, SEND_SECONDS), on_stage=on_stage
    )
    return replace(exchange, body=_scrubbed(exchange.body, parcel))


def weigh(sending: Sending, exchange: Exchange) -> Delivery:
    """What the exchange means. Pure."""
    chosen = sending.parcel.chosen
    return judge(chosen.provider, chosen.action, exchange, request_id=sending.parcel.row.request_id)


def record(sending: Sending, exchange: Exchange, delivery: Delivery, *, now: datetime) -> None:
    """Write the outcome down, whatever became of the run meanwhile. In the caller's transaction.

    A definite outcome also settles an attempt that was found silent and put in doubt before.
    """
    parcel = sending.parcel
    outcome = {
        "state": delivery.state,
        "status_code": exchange.status,
        "response": exchange.body.decode(errors="replace").replace("\x00", "\ufffd"),
        "failure": exchange.failure or "",
        "error_message": delivery.error_message,
        "latency_ms": exchange.latency_ms,
        "finished_at": now,
    }
    if _write_outcome(outcome, {"id": parcel.attempt_id, "state": AttemptState.SENDING}):
        _return_unit(parcel.chosen.webhook.pk, delivery, now, was_in_flight=True)
    elif delivery.state != AttemptState.IN_DOUBT and _write_outcome(
        outcome, {"id": parcel.attempt_id, "state": AttemptState.IN_DOUBT}
    ):
        _return_unit(parcel.chosen.webhook.pk, delivery, now, was_in_flight=False)
    else:
        return
    if not delivery.state.holds_a_unit:
        ledger.free(parcel.attempt_id)
    if delivery.status == 429:
        pacing.hold(parcel.chosen.integration.pacer_id, until=now.timestamp() + delivery.retry_after_seconds)
    if delivery.refuses_the_webhook:
        _flag(parcel.chosen, delivery)


def doubt_the_silent(*, now: datetime) -> list[Attempt]:
    """Put every attempt still `sending` in doubt: its sender is dead, and the row may have arrived.

    To be called only when no earlier worker can be alive (design §4: the lock on the data directory proves it).
    """
    silent = list(Attempt.objects.sending().without_bodies())
    for attempt in silent:
        changed = Attempt.objects.filter(pk=attempt.pk, state=AttemptState.SENDING).update(
            state=AttemptState.IN_DOUBT,
            failure=Failure.CRASHED,
            error_message="This console stopped while the row was on its way: it may or may not have arrived. "
            "Look for the row in Clay before you send it again.",
            finished_at=now,
        )
        if changed:
            Webhook.objects.filter(pk=attempt.webhook_id).update(in_flight=F("in_flight") - 1, used=F("used") + 1)
    return silent


def prove_arrival(run_id: str, step_id: str, *, now: datetime) -> None:
    """A callback came for this step's row, so the row is there: a doubt about it is settled."""
    Attempt.objects.of_run(run_id).filter(step_id=step_id).in_doubt().update(
        state=AttemptState.ACCEPTED, error_message="Settled by a callback: the row arrived.", finished_at=now
    )


def last_attempt(run_id: str, step_id: str) -> Attempt | None:
    return Attempt.objects.of_run(run_id).filter(step_id=step_id).last()


def rows_sent_as(project_id: str, request_id: str) -> list[Attempt]:
    """The attempts of runs whose row exists, or may exist, under this `request_id`; oldest first."""
    return list(Attempt.objects.arrived(project_id, request_id).without_bodies())


def output_of(attempt: Attempt) -> JsonObject:
    """The action's output for an accepted attempt, from what was recorded."""
    _, action = all_actions()[attempt.action]
    # A doubt that was settled may carry the 5xx that caused it; the row is there all the same.
    status = attempt.status_code if attempt.status_code and attempt.status_code < 300 else None
    was = Exchange(request_began=True, status=status, body=attempt.response.encode())
    return action.output(was, attempt.request_id)


def proven_output(sending: Sending) -> JsonObject:
    """The output for a row that got no answer but whose callback is here already."""
    parcel = sending.parcel
    return parcel.chosen.action.output(Exchange(request_began=True), parcel.row.request_id)


def room_at(subject_id: str, *, now: datetime) -> int:
    """How many of those who wait for a pacer, an integration or an attempt (see `NotNow.waits_for`) may ask again."""
    if subject_id.startswith("pac_"):
        return pacing.room(subject_id, now=now.timestamp())
    if subject_id.startswith("intg_"):
        integration = Integration.objects.filter(pk=subject_id).first()
        return 0 if integration and not integration.usable else _ALL
    holder = Attempt.objects.filter(pk=subject_id).without_bodies().first()
    return 0 if holder and holder.is_open else _ALL


def _is_guarded(parcel: Parcel) -> bool:
    """Is the row one that must not be sent twice, and can be told from others?"""
    testing = parcel.order.kind == AttemptKind.TEST
    return bool(parcel.row.request_id) and parcel.chosen.integration.never_twice and not testing


def _entries_of(parcel: Parcel) -> list[LedgerEntry]:
    """What was sent under the row's request_id before."""
    if not _is_guarded(parcel):
        return []
    return ledger.entries(parcel.chosen.webhook.destination, parcel.row.request_id)


def _enter(parcel: Parcel, now: datetime) -> bool:
    return ledger.enter(
        destination=parcel.chosen.webhook.destination,
        request_id=parcel.row.request_id,
        body_digest=parcel.body_digest,
        attempt_id=parcel.attempt_id,
        now=now,
    )


def _take_slot_and_unit(parcel: Parcel, now: datetime) -> NotNow | None:
    """None: both are taken. Raises SubmissionLimitReached."""
    chosen = parcel.chosen
    pacer_id = chosen.integration.pacer_id
    if chosen.pace and not pacing.take_slot(pacer_id, chosen.pace, now=now.timestamp()):
        return paced(pacer_id)
    testing = parcel.order.kind == AttemptKind.TEST  # a test is what resumes a paused integration
    if pacing.take_unit(chosen.webhook.pk, chosen.integration, although_paused=testing):
        return None
    if chosen.pace:
        pacing.give_slot_back(pacer_id, chosen.pace)
    return _no_unit(chosen, now)


def _give_back(parcel: Parcel) -> None:
    chosen = parcel.chosen
    if chosen.pace:
        pacing.give_slot_back(chosen.integration.pacer_id, chosen.pace)
    pacing.give_unit_back(chosen.webhook.pk)


def _already(parcel: Parcel, entries: list[LedgerEntry]) -> NotNow | AlreadyAccepted | None:
    """What the ledger says about this very row. None: nobody holds it."""
    entry = next((one for one in entries if one.body_digest == parcel.body_digest), None)
    if entry is None:
        return None
    holder = entry.attempt
    if holder.state == AttemptState.ACCEPTED:
        output = output_of(holder) | {"duplicate": True}
        return AlreadyAccepted(delivery=Delivery(state=AttemptState.ACCEPTED, status=holder.status_code, output=output))
    where = holder.run_id or holder.pk
    if holder.state == AttemptState.IN_DOUBT:
        message = f"The same row is in doubt in {where}; settle it there first."
    else:
        message = f"The same row is being sent by {where}."
    return NotNow(reason="same_row", message=message, waits_for=holder.pk)


def _no_unit(chosen: Chosen, now: datetime) -> NotNow:
    """Why the webhook gave no unit. Raises SubmissionLimitReached."""
    webhook = Webhook.objects.select_related("integration").get(pk=chosen.webhook.pk)
    integration = webhook.integration
    if integration is None or integration.status != IntegrationStatus.ACTIVE:
        return NotNow(
            reason="integration_paused",
            message=f"The integration {chosen.integration.name} is paused; the row waits until it is resumed.",
            waits_for=chosen.integration.pk,
        )
    limit = webhook.submission_limit
    if limit is None or webhook.used < limit:
        return _ask_again(now)
    if integration.wait_at_limit:
        return NotNow(
            reason="at_limit",
            message=f"The webhook has taken its {limit:,} rows; the row waits for a new webhook.",
            waits_for=integration.pk,
        )
    raise SubmissionLimitReached(
        f"The webhook has taken all of its {limit:,} rows, so nothing was sent. "
        "Make a new webhook in Clay and connect its URL."
    )


def _ask_again(now: datetime) -> NotNow:
    """Rows in flight may yet be refused and give their units back."""
    return NotNow(reason="at_limit", message="Waits for the rows in flight.", wake_at=now + timedelta(seconds=1))


def _write_down(parcel: Parcel, now: datetime) -> None:
    order = parcel.order
    attempt = Attempt(
        id=parcel.attempt_id,
        project_id=order.project_id,
        integration_id=parcel.chosen.integration.pk,
        webhook_id=parcel.chosen.webhook.pk,
        kind=order.kind,
        run_id=order.run_id,
        step_id=order.step_id,
        number=order.number,
        action=order.action,
        state=AttemptState.SENDING,
        request_id=parcel.row.request_id,
        external_id=parcel.row.external_id,
        body=parcel.body,
        body_digest=parcel.body_digest,
        body_size=len(parcel.request.body),
        created_at=now,
    )
    _insert_attempt(attempt)


def _return_unit(webhook_id: str, delivery: Delivery, now: datetime, *, was_in_flight: bool) -> None:
    """Move the unit from `in_flight` to `used`, or free it."""
    accepted = delivery.state == AttemptState.ACCEPTED
    pacing.settle_unit(
        webhook_id,
        was_in_flight=was_in_flight,
        counts=delivery.state.holds_a_unit,
        accepted=accepted,
        refuses=delivery.refuses_the_webhook,
        now=now,
    )


def _flag(chosen: Chosen, delivery: Delivery) -> None:
    """Say on the integration what is wrong; pause it when it is wrong for every row."""
    changes: dict[str, object] = {"attention": delivery.error_message[:500]}
    refusals = Webhook.objects.values_list("refusals_in_a_row", flat=True).get(pk=chosen.webhook.pk)
    if delivery.at_limit or refusals >= _REFUSALS_UNTIL_PAUSED:
        changes["status"] = IntegrationStatus.INACTIVE
    Integration.objects.filter(pk=chosen.integration.pk, status=IntegrationStatus.ACTIVE).update(**changes)


def _scrubbed(answer: bytes, parcel: Parcel) -> bytes:
    """The answer without our own secrets, should the far side echo them: it is stored and shown."""
    for secret in _secrets_of(parcel):
        for spelling in (secret, secret.replace("/", "\\/")):  # JSON may escape slashes
            answer = answer.replace(spelling.encode(), b"[removed]")
    return answer


def _secrets_of(parcel: Parcel) -> list[str]:
    """What opens the webhook and the callback's address; then their telling parts, for a 404 often quotes the path."""
    connection, callback_url = parcel.chosen.connection, parcel.order.callback_url
    whole = (connection.webhook_url, connection.auth_header_value, callback_url)
    address = urlsplit(connection.webhook_url)
    path_and_query = f"{address.path}?{address.query}" if address.query else address.path
    token = connection.auth_header_value.rpartition(" ")[2]  # without the word Bearer
    parts = (path_and_query, address.path, token, callback_url.rpartition("/")[2])
    return [secret for secret in whole if secret] + [part for part in parts if len(part) >= _TELLING_LENGTH]
