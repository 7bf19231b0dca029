"""One delivery of a webhook: what was sent, what was answered, and sending it again."""

from __future__ import annotations

from datetime import datetime

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from mobius.errors import MobiusError
from mobius.notifying import sending
from mobius.notifying.models import Notification
from mobius.projects.models import Project
from mobius.projects.roles import Permission
from mobius.web.access import ProjectRequest, project_page


@project_page(Permission.READ)
@require_safe
def delivery(request: ProjectRequest, project: Project, webhook_id: str, notification_id: str) -> HttpResponse:
    found = _find(project, webhook_id, notification_id)
    may_redeliver = request.access.allows(Permission.OPERATE) and found.due_at is None and bool(found.body)
    context = {
        "delivery": found,
        "webhook": found.endpoint,
        "tries": [one | {"at": datetime.fromisoformat(one["at"])} for one in found.tries],
        "most_attempts": sending.MOST_ATTEMPTS,
        "may_redeliver": may_redeliver,
    }
    return render(request, "notifying/delivery.html", context)


@project_page(Permission.OPERATE)
@require_POST
def redeliver(request: ProjectRequest, project: Project, webhook_id: str, notification_id: str) -> HttpResponse:
    found = _find(project, webhook_id, notification_id)
    try:
        sending.redeliver(found, by=request.actor)
    except MobiusError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, "It is sent again, under the same id.")
    return redirect("console:webhook_delivery", project.handle, webhook_id, notification_id)


def _find(project: Project, webhook_id: str, notification_id: str) -> Notification:
    told = Notification.objects.with_endpoint().filter(project=project, endpoint=webhook_id)
    found = told.filter(pk=notification_id).first()
    if found is None:
        raise Http404("There is no such delivery.")
    return found
