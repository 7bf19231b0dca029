"""The rows that wait at an integration: what resuming or discarding them would do, before somebody does it."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from integrations.console.finding import find_integration
from integrations.models import Integration, IntegrationStatus
from loops.queue import Queue, discard, queue_of
from mobius.projects.models import Project
from mobius.projects.roles import Permission
from mobius.timespans import rough
from mobius.web.access import ProjectRequest, project_page


@dataclass(frozen=True, kw_only=True)
class ShownQueue:
    """A queue in sentences."""

    queue: Queue
    integration: Integration

    @property
    def number(self) -> str:
        return rows_in_words(self.queue.rows)

    @property
    def waiting(self) -> str:
        verb = "waits" if self.queue.rows < 2 else "wait"
        return f"{self.number} {verb} to go out through {self.integration.name}."

    @property
    def budget(self) -> str:
        usage, missing = self.queue.usage, self.queue.missing
        if usage is None:
            return "There is no webhook that could take them: connect the integration again."
        if usage.left is None:
            return "The webhook has no submission limit."
        if not missing:
            return f"Sending them uses {self.queue.rows:,} of the {usage.left:,} submissions that are left."
        then = "wait" if self.integration.wait_at_limit else "fail"
        return (
            f"The webhook has only {usage.left:,} submissions left: {rows_in_words(missing)} would {then}, "
            "unless a successor is staged and tested."
        )

    @property
    def duration(self) -> str:
        takes, pace = self.queue.takes, self.queue.pace
        if takes is None or pace is None:
            return "Nothing paces them: sending them takes moments."
        words = f"Sending them takes {rough(takes)} at {pace.rate_per_second:g} rows a second"
        return f"{words}, shared with whatever else goes to the workspace {self.integration.pacer.label}."


@never_cache
@project_page(Permission.READ)
@require_safe
def integration_queue(request: ProjectRequest, project: Project, integration_id: str) -> HttpResponse:
    integration = find_integration(project, integration_id)
    context = {
        "integration": integration,
        "shown": ShownQueue(queue=queue_of(integration), integration=integration),
        "may_resume": request.access.allows(Permission.ADMINISTER) and integration.status == IntegrationStatus.INACTIVE,
        "may_discard": request.access.allows(Permission.OPERATE),
    }
    return render(request, "loops/queue.html", context)


@project_page(Permission.OPERATE)
@require_POST
def discard_queue(request: ProjectRequest, project: Project, integration_id: str) -> HttpResponse:
    integration = find_integration(project, integration_id)
    discarded = discard(integration, by=request.actor)
    messages.success(request, f"{rows_in_words(discarded)} discarded: nothing was sent, and the runs are cancelled.")
    return redirect("console:integration_queue", project.handle, integration.pk)


def rows_in_words(rows: int) -> str:
    return {0: "No row", 1: "1 row"}.get(rows, f"{rows:,} rows")
