"""A row goes out once more under a new request_id: what that does and costs, and then the new delivery."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from integrations.invoking import Called, CallStatus
from integrations.models import Attempt, AttemptState, Integration
from integrations.sending_anew import new_request_id, send_anew, why_not_anew
from loops.console.deliveries import find_delivery
from loops.console.forms import SendAnewForm
from loops.console.operating import Question
from loops.models import Run
from loops.queue import sending
from loops.retrying import why_not
from mobius.errors import MobiusError
from mobius.projects.models import Project
from mobius.projects.roles import Permission
from mobius.web.access import ProjectRequest, project_page
from mobius.web.forms import explain, form_page, posted


@form_page
@project_page(Permission.OPERATE)
def delivery_send_anew(request: ProjectRequest, project: Project, delivery_id: str) -> HttpResponse:
    attempt = find_delivery(project, delivery_id)
    page = reverse("console:delivery", args=[project.handle, attempt.pk])
    if refusal := why_not_anew(attempt):
        messages.info(request, f"This row cannot be sent as a new request. {refusal}")
        return redirect(page)
    form = SendAnewForm(posted(request), initial={"request_id": new_request_id(attempt)})
    if form.is_valid():
        try:
            called = send_anew(attempt, **form.cleaned_data, by=request.actor)
        except MobiusError as error:
            explain(form, error)
        else:
            return _arrive(request, project, called, form.cleaned_data["request_id"])
    question = Question(
        heading="Send this row as a new request?",
        happens=_what_happens(attempt, str(form["request_id"].value() or "")),
        button="Send as a new request",
        back=page,
        parents=(("Deliveries", reverse("console:deliveries", args=[project.handle])), (attempt.pk, page)),
    )
    context = {"question": question, "form": form, "busy": "Sending…"}
    return render(request, "loops/operate.html", context, status=422 if form.errors else 200)


def _arrive(request: ProjectRequest, project: Project, called: Called, request_id: str) -> HttpResponse:
    """To the new delivery; of a second press of the button, to that of the first."""
    if called.status == CallStatus.FAILED:
        messages.error(request, called.error)
    elif called.status == CallStatus.ACTIVE:
        messages.info(request, "The row is on its way. Load this page anew to see what became of it.")
    else:
        messages.success(request, "The row was taken.")
    made = called.attempt_id
    if not made:
        sent = Attempt.objects.of_project(project).sent_under(request_id).order_by("-pk")
        made = sent.values_list("pk", flat=True).first() or ""
    return (
        redirect("console:delivery", project.handle, made) if made else redirect("console:deliveries", project.handle)
    )


def _what_happens(attempt: Attempt, request_id: str) -> tuple[str, ...]:
    integration = attempt.integration
    assert integration is not None  # else it is not asked
    under = f"under the request_id {request_id}" if request_id else "without a request_id, as it was"
    run = Run.objects.select_related("loop").filter(pk=attempt.run_id).first() if attempt.run_id else None
    return (
        f"The row goes out to {integration.name} as it was, {under}: it makes a new row in the table, "
        "and enrichments may spend their credits.",
        *_beside_the_first(attempt, run),
        _what_it_takes(integration),
        "It belongs to no run: the run that sent it first stays as it is.",
    )


def _beside_the_first(attempt: Attempt, run: Run | None) -> tuple[str, ...]:
    if attempt.state == AttemptState.ACCEPTED:
        return ("The first one was accepted, so the table then has it twice.",)
    if run is not None and not why_not(run):
        return (
            "The first one made no row. Do not retry its run afterwards: that would send it once more, "
            "under its first request_id.",
        )
    return ("The first one made no row.",)


def _what_it_takes(integration: Integration) -> str:
    usage = sending(1, integration).usage
    if usage is None:
        return "There is no webhook that could take it: connect the integration again first."
    if usage.left is None:
        return "The webhook has no submission limit."
    return f"It uses 1 of the {usage.left:,} submissions that are left."
