"""What admins do to those who are told: choose of what, try out, remove."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from mobius.alerting.models import Mail, MailState, Recipient
from mobius.alerting.recipients import choose_conditions, remove_recipient, send_test
from mobius.errors import MobiusError
from mobius.projects.models import Project
from mobius.projects.roles import Permission
from mobius.web.access import ProjectRequest, project_page
from mobius.web.forms import form_page


@project_page(Permission.ADMINISTER)
@require_POST
def choose(request: ProjectRequest, project: Project) -> HttpResponse:
    """Save the table's ticks. Recipients that were not on the page, because somebody has just added them, stay."""
    shown = Recipient.objects.of_project(project).filter(pk__in=request.POST.getlist("recipient"))
    try:
        changed = [choose_conditions(one, request.POST.getlist(one.pk), by=request.actor) for one in shown]
    except MobiusError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, "Saved." if any(changed) else "Nothing was changed.")
    return redirect("console:alerts", project.handle)


@project_page(Permission.ADMINISTER)
@require_POST
def test(request: ProjectRequest, project: Project, recipient_id: str) -> HttpResponse:
    try:
        mail = send_test(_find(project, recipient_id), by=request.actor)
    except MobiusError as error:
        messages.error(request, error.message)
    else:
        _say_what_becomes_of(mail, request)
    return redirect("console:alerts", project.handle)


@project_page(Permission.ADMINISTER)
@form_page
def remove(request: ProjectRequest, project: Project, recipient_id: str) -> HttpResponse:
    recipient = _find(project, recipient_id)
    if request.method != "POST":
        return render(request, "alerting/remove.html", {"recipient": recipient})
    remove_recipient(recipient, by=request.actor)
    messages.success(request, f"{recipient.address} is told nothing any more.")
    return redirect("console:alerts", project.handle)


def _say_what_becomes_of(mail: Mail, request: ProjectRequest) -> None:
    if mail.state == MailState.FAILED:
        messages.error(request, mail.last_error)
    else:
        messages.success(request, f"A test is on its way to {mail.address}. What became of it stands below.")


def _find(project: Project, recipient_id: str) -> Recipient:
    found = Recipient.objects.of_project(project).filter(pk=recipient_id).first()
    if found is None:
        raise Http404("There is no such recipient.")
    return found
