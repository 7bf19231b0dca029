"""One deed for everything that a list's filters find, as a job: started once, worked off in small steps, cancelled.

Each deed and the job's progress are one transaction, so that a crash leaves both or neither: the job goes on where it
was and does nothing twice. What came into the state after the person was asked is not his to decide, and is left out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from integrations.models import Attempt, AttemptState
from integrations.settling import Decision
from loops import operating, retrying, settling
from loops.models import BulkDeed, BulkJob, BulkState, Run, RunStatus
from loops.selecting import Selection, deliveries_selected, runs_selected
from mobius import clock
from mobius.errors import Conflict, InvalidFields, MobiusError
from mobius.projects import auditing
from mobius.projects.audit_models import ActorKind
from mobius.projects.auditing import Actor
from mobius.projects.models import Project

logger = logging.getLogger(__name__)

BATCH = 20
"""Deeds between two looks at everything else that a sweep does."""
EXAMPLES = 20
"""So many of those that were left alone are kept with the reason."""
_JOBS = 20


class AnotherBulkJob(Conflict):
    """A bulk job of this project is running; wait until it has ended, or cancel it."""


class NothingToDo(Conflict):
    """Nothing fits these filters any more."""


def found_by(project: Project, deed: BulkDeed, selection: Selection, *, asked_at: datetime) -> QuerySet[Any]:
    """What the deed would be done to: what the filters find, as far as it was in the right state at `asked_at`."""
    if not deed.is_about_runs:
        doubtful = deliveries_selected(project, replace(selection, state=AttemptState.IN_DOUBT))
        return doubtful.filter(finished_at__lte=asked_at)
    if deed == BulkDeed.RETRY:
        return runs_selected(project, replace(selection, state=RunStatus.FAILED)).filter(completed_at__lte=asked_at)
    return runs_selected(project, selection).active().filter(created_at__lte=asked_at)


def start(
    project: Project, deed: BulkDeed, selection: Selection, *, asked_at: datetime, reason: str, by: Actor
) -> BulkJob:
    """Begin the job; the sweep works it off. The same question answered twice gives back the job of the first time.

    Raises InvalidFields without the reason that settling needs, AnotherBulkJob and NothingToDo.
    """
    reason = reason.strip()
    if not reason and not deed.is_about_runs:
        raise InvalidFields({"reason": ["Say how you know, such as “Looked into the table”."]})
    now = clock.now()
    asked_at = min(asked_at, now)
    if earlier := _answered(project, by, asked_at):
        return earlier
    total = found_by(project, deed, selection, asked_at=asked_at).order_by().count()
    if not total:
        raise NothingToDo
    job = BulkJob(project=project, deed=deed, selection=selection.as_json(), reason=reason, total=total)
    job.asked_at, job.created_at = asked_at, now
    job.actor_kind, job.actor_id, job.actor_name, job.actor_ip = by.kind, by.id[:150], by.name[:200], by.ip[:45]
    try:
        with transaction.atomic():
            job.save(force_insert=True)
            _note(job, "start", by, f"{deed.label}: {total:,}. {reason}".strip())
    except IntegrityError:
        if earlier := _answered(project, by, asked_at):
            return earlier
        raise AnotherBulkJob from None
    return job


def cancel(job: BulkJob, *, by: Actor, why: str = "") -> BulkJob:
    """Do no more of it. What was done stays done; a job that has ended stays as it is."""
    with transaction.atomic():
        held = BulkJob.objects.held(job.pk).get()
        if held.is_running:
            _end(held, BulkState.CANCELLED)
            _note(held, "cancel", by, f"After {held.looked_at:,} of {held.total:,}. {why}".strip())
    return held


def work_off() -> bool:
    """Do the next few deeds of every job. Safe in several processes at once. True while any job is running."""
    running = list(BulkJob.objects.running().values_list("pk", flat=True)[:_JOBS])
    for job_id in running:
        try:
            for _ in range(BATCH):
                if not _do_next(job_id):
                    break
        except Exception:
            # A border as the sweep's own: a job that cannot go on must not keep the others from it.
            logger.exception("the bulk job %s could not go on; it is tried again", job_id)
    return bool(running)


def _do_next(job_id: str) -> bool:
    """One deed. False when there is none to do for this process."""
    with transaction.atomic():
        job = BulkJob.objects.held_if_free(job_id).select_related("project").first()
        if job is None:
            return False
        deed, selection = BulkDeed(job.deed), Selection(**job.selection)
        waiting = found_by(job.project, deed, selection, asked_at=job.asked_at).filter(pk__gt=job.last_id)
        next_one = waiting.order_by("pk").first()
        if next_one is None:
            _end(job, BulkState.COMPLETED)
            return False
        try:
            with transaction.atomic():
                _DEEDS[deed](next_one, job)
        except MobiusError as error:
            job.left_alone += 1
            job.trouble = [*job.trouble, {"id": next_one.pk, "reason": error.message}][:EXAMPLES]
        else:
            job.done += 1
        job.last_id = next_one.pk
        job.save(update_fields=["done", "left_alone", "trouble", "last_id"])
    return True


def _retry(run: Run, job: BulkJob) -> None:
    retrying.retry(run, by=_actor(job), reason=_reason(job))


def _cancel(run: Run, job: BulkJob) -> None:
    operating.cancel(run, by=_actor(job), reason=_reason(job))


def _settle(attempt: Attempt, job: BulkJob) -> None:
    settling.settle(attempt, Decision(job.deed), reason=_reason(job), by=_actor(job))


_DEEDS: dict[BulkDeed, Callable[[Any, BulkJob], None]] = {
    BulkDeed.RETRY: _retry,
    BulkDeed.CANCEL: _cancel,
    BulkDeed.ARRIVED: _settle,
    BulkDeed.SEND_AGAIN: _settle,
    BulkDeed.GIVE_UP: _settle,
}


def _answered(project: Project, by: Actor, asked_at: datetime) -> BulkJob | None:
    return BulkJob.objects.of_project(project).filter(actor_id=by.id[:150], asked_at=asked_at).first()


def _actor(job: BulkJob) -> Actor:
    return Actor(kind=ActorKind(job.actor_kind), name=job.actor_name, id=job.actor_id, ip=job.actor_ip)


def _reason(job: BulkJob) -> str:
    return f"{job.reason} (bulk job {job.pk})".strip()


def _end(job: BulkJob, state: BulkState) -> None:
    job.state, job.ended_at = state, clock.now()
    job.save(update_fields=["state", "ended_at"])


def _note(job: BulkJob, deed: str, by: Actor, reason: str) -> None:
    auditing.record(
        by, f"bulk_job.{deed}", project_id=job.project_id, kind="bulk_job", id=job.pk, name=job.deed, reason=reason
    )
