"""Govern > Alerts: what needs a person, who is told, and what they were sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect, render

from mobius.alerting.conditions import Condition
from mobius.alerting.console.forms import RecipientForm
from mobius.alerting.console.showing import shown_alerts
from mobius.alerting.models import Mail, Recipient
from mobius.alerting.recipients import add_recipient
from mobius.errors import MobiusError
from mobius.notifying.models import Endpoint
from mobius.projects.models import Membership, Project
from mobius.projects.roles import Permission
from mobius.web.access import ProjectRequest, project_page
from mobius.web.forms import explain, form_page, posted
from mobius.web.lists import rows


@dataclass(frozen=True, kw_only=True)
class Row:
    """A recipient, and of what it is told: each condition, its words, and whether it is ticked."""

    recipient: Recipient
    ticks: list[tuple[str, str, bool]]


@project_page(Permission.READ)
@form_page
def alerts(request: ProjectRequest, project: Project) -> HttpResponse:
    """The page, and for admins the form that adds a recipient."""
    may_edit = request.access.allows(Permission.ADMINISTER)
    if request.method == "POST" and not may_edit:
        raise PermissionDenied("Only admins say who is told.")
    members = Membership.objects.of_project(project).select_related("user").order_by("user__username")
    form = RecipientForm(posted(request), members=members)
    if form.is_valid() and _add(request, project, form):
        return redirect("console:alerts", project.handle)
    context = _context(request, project) | {"form": form, "may_edit": may_edit}
    return render(request, "alerting/alerts.html", context, status=422 if form.errors else 200)


def _context(request: ProjectRequest, project: Project) -> dict[str, Any]:
    mails = rows(request, Mail.objects.filter(project=project).without_texts())
    listening = Endpoint.objects.of_project(project).listening().order_by("pk")
    return {
        "alerts": shown_alerts(project),
        "conditions": Condition.choices,
        "rows": [_row(one) for one in Recipient.objects.of_project(project)],
        "endpoints": [one for one in listening if one.wants("alert.opened")],
        "page": mails,
        "under_way": any(mail.under_way for mail in mails.items),
        "sends_mail": settings.MOBIUS_SENDS_MAIL,
        "sender": settings.DEFAULT_FROM_EMAIL,
    }


def _row(recipient: Recipient) -> Row:
    ticks = [(value, label, recipient.wants(value)) for value, label in Condition.choices]
    return Row(recipient=recipient, ticks=ticks)


def _add(request: ProjectRequest, project: Project, form: RecipientForm) -> bool:
    """False when it cannot be added; the form then says why."""
    wanted = form.cleaned_data
    try:
        add_recipient(project=project, address=wanted["address"], membership=form.membership, by=request.actor)
    except MobiusError as error:
        explain(form, error, names={"name": "address"})
        return False
    return True
