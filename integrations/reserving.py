"""May this row leave now? If so its attempt is written down, with its slot, its unit and its ledger entry."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from django.db import connection

from integrations import ledger, pacing, succession
from integrations.judging import Delivery
from integrations.ledger import Entered
from integrations.models import (
    Attempt,
    AttemptKind,
    AttemptState,
    Integration,
    IntegrationStatus,
    LedgerEntry,
    Webhook,
    WebhookState,
)
from integrations.parcels import AlreadyAccepted, NotNow, Parcel, Sending, prepare
from integrations.providers.contract import Provider
from integrations.recording import output_of
from mobius.engine.gathering import read_again, write_now
from mobius.errors import Conflict
from mobius.prepared import Insert, answered

_ALL = 1_000_000
_insert_attempt = Insert(Attempt)
# One way to PostgreSQL and back for each row instead of two; SQLite has neither the way nor such statements.
_TAKE_UNIT_AND_ENTER = f"""
    WITH unit AS ({pacing.TAKE_UNIT} RETURNING id),
    entry AS (INSERT INTO integrations_ledgerentry (destination, request_id, body_digest, attempt_id, created_at)
        SELECT %s, %s, %s, %s, %s FROM unit
        ON CONFLICT (destination, request_id, body_digest) DO NOTHING RETURNING id)
    SELECT (SELECT COUNT(*) FROM unit), (SELECT COUNT(*) FROM entry), EXISTS (SELECT 1 FROM integrations_ledgerentry
        WHERE destination = %s AND request_id = %s AND body_digest <> %s)
"""  # noqa: S608


class SubmissionLimitReached(Conflict):
    """The webhook has taken all the rows that it takes for life. Connect the URL of a new webhook."""

    code = "submission_limit_reached"


def reserve(parcel: Parcel, *, now: datetime) -> Sending | NotNow | AlreadyAccepted:
    """Write the attempt down as `sending`, with its slot, its unit and its ledger entry; or say why not.

    In the caller's transaction, in the lock order pacer, webhook, ledger. Raises SubmissionLimitReached.
    """
    if parcel.order.number > 1 and (answer := _after_earlier(parcel)) is not None:
        return answer
    chosen = parcel.chosen
    if chosen.pace and not pacing.take_slot(chosen.integration.pacer_id, chosen.pace, now=now.timestamp()):
        return _already(parcel) or paced(chosen.integration.pacer_id)
    has_unit, entered = _take_unit_and_enter(parcel, now)
    if not has_unit:
        if chosen.pace:
            pacing.give_slot_back(chosen.integration.pacer_id, chosen.pace)
        return _already(parcel) or _without_unit(parcel, now)
    if entered is Entered.NOT:
        _give_back(parcel)
        return _already(parcel) or _ask_again(now)
    _write_down(parcel, now)
    if entered is Entered.BESIDE_OTHERS:
        warning = f"Another row was sent under the request_id {parcel.row.request_id} before; this one is sent too."
        return Sending(parcel=parcel, warnings=(warning,))
    return Sending(parcel=parcel)


def pacer_of(parcel: Parcel) -> str:
    """The pacer that the row must ask; "" when it goes unpaced."""
    return parcel.chosen.integration.pacer_id if parcel.chosen.pace else ""


def lock_pacer(parcel: Parcel) -> None:
    """For a transaction that records one row and reserves another: recording locks a webhook, the pacer goes first."""
    if parcel.chosen.pace:
        pacing.lock(parcel.chosen.integration.pacer_id)


def paced(pacer_id: str) -> NotNow:
    return NotNow(reason="paced", message="Waits for its turn at Clay's pace.", waits_for=pacer_id)


def room_at(subject_id: str, *, now: datetime) -> int:
    """How many of those who wait for a pacer, an integration, a webhook or an attempt may ask again.

    See `NotNow.waits_for`. Nobody waits for what is gone.
    """
    if subject_id.startswith("pac_"):
        return pacing.room(subject_id, now=now.timestamp())
    if subject_id.startswith("intg_"):
        integration = Integration.objects.filter(pk=subject_id).first()
        return 0 if integration and not integration.usable else _ALL
    if subject_id.startswith("src_"):
        return _room_of(Webhook.objects.select_related("integration").filter(pk=subject_id).first())
    holder = Attempt.objects.filter(pk=subject_id).without_bodies().first()
    return 0 if holder and holder.is_open else _ALL


def pacer_behind(subject_id: str) -> str:
    """The pacer at which those who waited for this integration stand in line, now that it is resumed; else ""."""
    if not subject_id.startswith("intg_"):
        return ""
    integration = Integration.objects.filter(pk=subject_id).select_related("pacer").first()
    paced_now = integration is not None and integration.usable and pacing.pace_of(integration.pacer) is not None
    return integration.pacer_id if integration is not None and paced_now else ""


def paused_among(integration_ids: Collection[str]) -> set[str]:
    """Those through which nothing goes out just now."""
    paused = Integration.objects.filter(pk__in=integration_ids).exclude(status=IntegrationStatus.ACTIVE)
    return set(paused.values_list("pk", flat=True))


def _room_of(webhook: Webhook | None) -> int:
    """What the webhook still takes; whoever waits for one that has a successor asks that one.

    Where rows do not wait at the limit any more, whoever does asks again, and is told.
    """
    if webhook is None or webhook.state != WebhookState.CURRENT or webhook.submission_limit is None:
        return _ALL
    nobody_waits = webhook.integration is not None and not webhook.integration.wait_at_limit
    if webhook.full and (nobody_waits or succession.follows(webhook.pk)):
        return _ALL
    return max(webhook.submission_limit - webhook.used - webhook.in_flight, 0)


def _is_guarded(parcel: Parcel) -> bool:
    """Is the row one that must not be sent twice, and can be told from others?"""
    testing = parcel.order.kind == AttemptKind.TEST
    return bool(parcel.row.request_id) and parcel.chosen.integration.never_twice and not testing


def _take_unit_and_enter(parcel: Parcel, now: datetime) -> tuple[bool, Entered]:
    """Has the webhook given a unit, and what became of the row's entry in the ledger?"""
    testing = parcel.order.kind == AttemptKind.TEST
    webhook_id, integration_id = parcel.chosen.webhook.pk, parcel.chosen.integration.pk
    guarded = _is_guarded(parcel)
    if guarded and parcel.order.number == 1 and connection.vendor == "postgresql":
        row = (parcel.chosen.webhook.destination, parcel.row.request_id, parcel.body_digest)
        unit = (webhook_id, testing, testing, integration_id)
        units, entries, others = answered(_TAKE_UNIT_AND_ENTER, *unit, *row, parcel.attempt_id, now, *row)[0]
        entered = Entered.BESIDE_OTHERS if others else Entered.ALONE
        return bool(units), entered if entries else Entered.NOT
    if not pacing.take_unit(webhook_id, integration_id, testing=testing):
        return False, Entered.NOT
    return True, _enter(parcel, now) if guarded else Entered.ALONE


def _enter(parcel: Parcel, now: datetime) -> Entered:
    if parcel.order.number > 1:
        entries = _entries_of(parcel)
        own = _entry_of(parcel, entries)
        if own is not None:
            write_now()  # whoever holds it may have done so in this very transaction
        if own is not None and _is_of_this_step(own.attempt, parcel):  # after whose doubt the row is sent again
            ledger.hand_over(own.attempt_id, parcel.attempt_id)
            return Entered.BESIDE_OTHERS if len(entries) > 1 else Entered.ALONE
    return ledger.enter(
        destination=parcel.chosen.webhook.destination,
        request_id=parcel.row.request_id,
        body_digest=parcel.body_digest,
        attempt_id=parcel.attempt_id,
        now=now,
    )


def _entries_of(parcel: Parcel) -> list[LedgerEntry]:
    """What was sent under the row's request_id before."""
    return ledger.entries(parcel.chosen.webhook.destination, parcel.row.request_id)


def _entry_of(parcel: Parcel, entries: list[LedgerEntry]) -> LedgerEntry | None:
    """The entry of this very row."""
    return next((one for one in entries if one.body_digest == parcel.body_digest), None)


def _is_of_this_step(attempt: Attempt, parcel: Parcel) -> bool:
    return (attempt.run_id, attempt.step_id) == (parcel.order.run_id, parcel.order.step_id)


def _after_earlier(parcel: Parcel) -> NotNow | AlreadyAccepted | None:
    """May the row go although the step has sent it before? Not when it arrived, nor when it may have arrived.

    A table that deduplicates takes it once more under the same request_id, and only that very table.
    """
    order = parcel.order
    earlier = Attempt.objects.of_step(order.run_id, order.step_id).select_related("webhook")
    for attempt in earlier.filter(state__in=[AttemptState.ACCEPTED, *AttemptState.open()]):
        if attempt.state == AttemptState.ACCEPTED:
            output = output_of(attempt)
            return AlreadyAccepted(
                delivery=Delivery(state=AttemptState.ACCEPTED, status=attempt.status_code, output=output)
            )
        same_row = attempt.request_id == parcel.row.request_id
        same_table = attempt.webhook.destination == parcel.chosen.webhook.destination
        if not (parcel.deduplicated and same_row and same_table):
            return NotNow(reason="delivery_in_doubt", message=attempt.error_message)
    return None


def _give_back(parcel: Parcel) -> None:
    chosen = parcel.chosen
    if chosen.pace:
        pacing.give_slot_back(chosen.integration.pacer_id, chosen.pace)
    pacing.give_unit_back(chosen.webhook.pk)


def _already(parcel: Parcel) -> NotNow | AlreadyAccepted | None:
    """What the ledger says about this very row. None: nobody holds it."""
    if not _is_guarded(parcel):
        return None
    entry = _entry_of(parcel, _entries_of(parcel))
    if entry is None:
        return None
    write_now()  # whoever holds it may have done so in this very transaction
    holder = entry.attempt
    if parcel.order.number > 1 and _is_of_this_step(holder, parcel):
        return None  # `_after_earlier` has looked at it
    if holder.state == AttemptState.ACCEPTED:
        output = output_of(holder) | {"duplicate": True}
        return AlreadyAccepted(delivery=Delivery(state=AttemptState.ACCEPTED, status=holder.status_code, output=output))
    where = holder.run_id or holder.pk
    if holder.state == AttemptState.IN_DOUBT:
        message = f"The same row is in doubt in {where}; settle it there first."
    else:  # said once, and still true should that row come into doubt
        message = f"The same row was being sent by {where}; this one waits for what becomes of it."
    return NotNow(reason="same_row", message=message, waits_for=holder.pk)


def _without_unit(parcel: Parcel, now: datetime) -> Sending | NotNow | AlreadyAccepted:
    """The webhook gave no unit. The row goes to the one that took over, or else why not. Raises what `reserve` does."""
    read_again()  # it may have been another process that changed what many read once
    chosen = parcel.chosen
    webhook = Webhook.objects.select_related("integration").get(pk=chosen.webhook.pk)
    integration, testing = webhook.integration, parcel.order.kind == AttemptKind.TEST
    if integration is not None and not integration.usable and not testing:
        return NotNow(
            reason="integration_paused",
            message=f"The integration {integration.name} is paused; the row waits until it is resumed.",
            waits_for=integration.pk,
        )
    if integration is None or webhook.state == WebhookState.RETIRED:
        return reserve(prepare(parcel.order), now=now)
    if not webhook.full:
        return _ask_again(now)
    if not testing and succession.take_over(webhook.pk):
        return reserve(prepare(parcel.order), now=now)
    if integration.wait_at_limit and not testing:
        return NotNow(
            reason="at_limit",
            message=f"The webhook has taken its {webhook.submission_limit:,} rows; the row waits for a new webhook.",
            waits_for=webhook.pk,
        )
    raise SubmissionLimitReached(_at_the_limit(webhook, integration, chosen.provider))


def _at_the_limit(webhook: Webhook, integration: Integration, provider: Provider) -> str:
    sentence = f"The webhook has taken all of its {webhook.submission_limit:,} rows, so nothing was sent."
    staged = Webhook.objects.staged_for(integration)
    if webhook.state == WebhookState.CURRENT and staged is not None:
        return f"{sentence} A successor is staged, but it takes over only once a test of it has succeeded: test it."
    return f"{sentence} Make a new webhook in {provider.name} and connect its URL."


def _ask_again(now: datetime) -> NotNow:
    """Rows in flight may yet be refused and give their units back."""
    return NotNow(reason="at_limit", message="Waits for the rows in flight.", wake_at=now + timedelta(seconds=1))


def _write_down(parcel: Parcel, now: datetime) -> None:
    order = parcel.order
    _insert_attempt.later(
        {
            "id": parcel.attempt_id,
            "project_id": order.project_id,
            "integration_id": parcel.chosen.integration.pk,
            "webhook_id": parcel.chosen.webhook.pk,
            "kind": order.kind,
            "run_id": order.run_id,
            "step_id": order.step_id,
            "number": order.number,
            "action": order.action,
            "state": AttemptState.SENDING,
            "request_id": parcel.row.request_id,
            "external_id": parcel.row.external_id,
            "body": parcel.body,
            "body_digest": parcel.body_digest,
            "body_size": len(parcel.request.body),
            "created_at": now,
        }
    )
