"""A project was deleted: nothing new begins in it, what runs goes on, and when that has ended its secrets go, too.

Nobody finds its pages any more, so whatever went on by itself could neither be seen nor stopped.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from integrations.connecting import disconnect
from integrations.models import Integration
from loops import bulk
from loops.models import BulkJob, Push, PushRow, PushState, RowState, Run
from loops.triggers.registering import forget_all
from mobius.notifying.models import Endpoint, Notification
from mobius.notifying.subscribing import delete_endpoint
from mobius.projects.auditing import SYSTEM
from mobius.projects.models import Project

LONGEST_DRAIN = timedelta(days=30)
"""A run that still waits then, such as for a person whom its pages do not let in, keeps no secret any longer."""


def begin_nothing_new(project: Project) -> None:
    """Its triggers go with their addresses, no further row of a push starts, and bulk jobs end. In the transaction
    that deletes the project."""
    forget_all(project)
    for push_id in Push.objects.of_project(project).in_state(PushState.RUNNING).values_list("pk", flat=True):
        Push.objects.held(push_id).get()  # nobody starts rows of it meanwhile
        waiting = PushRow.objects.of_push(push_id).waiting().order_by()
        waiting.update(state=RowState.NOT_SENT, reason="The project was deleted before its turn.")
    for job in BulkJob.objects.of_project(project).running():
        bulk.cancel(job, by=SYSTEM)


def erase_secrets_of_deleted(*, now: datetime) -> None:
    """Disconnect what deleted projects were connected to, once nothing goes on there. Counts, log and ledger stay."""
    holds_some = Q(integrations__isnull=False) | Q(endpoints__isnull=False)
    for project in Project.objects.filter(holds_some, deleted_at__isnull=False).distinct().order_by("pk"):
        if project.deleted_at is None or (now - project.deleted_at < LONGEST_DRAIN and _goes_on(project)):
            continue
        with transaction.atomic():
            for integration in Integration.objects.filter(project=project):
                disconnect(integration, by=SYSTEM)
            for endpoint in Endpoint.objects.of_project(project):
                delete_endpoint(endpoint, by=SYSTEM)


def _goes_on(project: Project) -> bool:
    """Does anything still run there, or is anybody still to be told how it ended?"""
    told = Notification.objects.filter(project=project, due_at__isnull=False)
    return Run.objects.of_project(project).active().exists() or told.exists()
