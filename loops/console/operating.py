"""What an operator does to a run or a delivery: each has a page that says what will happen and asks why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from integrations.models import Attempt, AttemptState
from integrations.settling import Decision
from loops import operating
from loops.console.deliveries import find_delivery
from loops.console.forms import ReasonForm, RetryForm, SettleForm, SignalForm
from loops.console.runs import find_run
from loops.models import Run, Step
from loops.retrying import is_out_of_time, resume, retry
from loops.settling import settle, why_not_again
from mobius.errors import MobiusError
from mobius.projects.models import Project
from mobius.projects.roles import Permission
from mobius.web.access import ProjectRequest, project_page
from mobius.web.forms import explain, form_page, posted


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the page asks before something is done."""

    heading: str
    happens: tuple[str, ...]  # a sentence each
    button: str
    back: str
    parents: tuple[tuple[str, str], ...]  # the breadcrumbs: label and address
    danger: bool = False


@form_page
@project_page(Permission.OPERATE)
def run_cancel(request: ProjectRequest, project: Project, run_id: str) -> HttpResponse:
    run = find_run(project, run_id)
    question = _about_run(
        run,
        heading="Cancel this run?",
        happens=(
            "The run ends at once, whatever it is doing. It cannot be brought back.",
            "Rows that were sent stay in the table. A row that is on its way just now is not called back: "
            "it may arrive, and the run's page will say so.",
        ),
        button="Cancel the run",
        danger=True,
    )

    def cancel(form: forms.Form) -> str:
        cancelled = operating.cancel(run, by=request.actor, reason=form.cleaned_data["reason"])
        return f"The run is {cancelled.get_status_display().lower()}."

    return ask(request, question, ReasonForm(posted(request)), cancel)


@form_page
@project_page(Permission.OPERATE)
def run_retry(request: ProjectRequest, project: Project, run_id: str) -> HttpResponse:
    run = find_run(project, run_id)
    question = _about_run(
        run,
        heading="Retry this run?",
        happens=(
            "The run goes on from the step that failed. Steps that are done are not done again, "
            "and a row that was accepted is not sent again.",
            "While nobody knows whether the row of that step arrived, nothing is sent: settle its delivery first.",
        ),
        button="Retry",
    )
    out_of_time = is_out_of_time(run)

    def go_on(form: forms.Form) -> str:
        extend = timedelta(seconds=form.cleaned_data.get("wall_clock_extend_seconds", 0))
        verb = resume if out_of_time else retry
        verb(run, by=request.actor, reason=form.cleaned_data["reason"], extend=extend)
        return "The run goes on from where it failed."

    return ask(request, question, RetryForm(posted(request), out_of_time=out_of_time), go_on)


@form_page
@project_page(Permission.OPERATE)
def run_signal(request: ProjectRequest, project: Project, run_id: str) -> HttpResponse:
    run = find_run(project, run_id)
    step = Step.objects.waiting_in([run.pk]).filter(kind="wait_for_event").first()
    if step is None:
        messages.info(request, "No step of this run waits for an event now, so there is nothing to signal.")
        return redirect("console:run", project.handle, run.pk)
    question = _about_run(
        run,
        heading=f"Signal the step {step.name or step.key}?",
        happens=(
            "The step stops waiting, and what you write becomes its output.",
            "A callback that comes later is kept, and changes nothing.",
        ),
        button="Signal",
    )

    def signal(form: forms.Form) -> str:
        operating.signal(run, step_key=step.key, result=form.cleaned_data["result"], by=request.actor)
        return "The step has its output, and the run goes on."

    return ask(request, question, SignalForm(posted(request), initial={"result": "{}"}), signal, inside="result")


@form_page
@project_page(Permission.OPERATE)
def delivery_settle(request: ProjectRequest, project: Project, delivery_id: str) -> HttpResponse:
    attempt = find_delivery(project, delivery_id)
    run = Run.objects.select_related("loop").filter(pk=attempt.run_id).first() if attempt.run_id else None
    page = reverse("console:delivery", args=[project.handle, attempt.pk])
    if request.method != "POST" and attempt.state != AttemptState.IN_DOUBT:
        messages.info(request, "This delivery is not in doubt, so there is nothing to settle.")
        return redirect(page)
    question = Question(
        heading="Did the row arrive?",
        happens=_what_settling_does(attempt, run),
        button="Settle",
        back=reverse("console:run", args=[project.handle, run.pk]) if run else page,
        parents=(("Deliveries", reverse("console:deliveries", args=[project.handle])), (attempt.pk, page)),
    )

    def decide(form: forms.Form) -> str:
        decision = Decision(form.cleaned_data["decision"])
        settle(attempt, decision, reason=form.cleaned_data["reason"], by=request.actor)
        can_go_on = run is not None and run.has_ended and not why_not_again(run)
        retry_it = "" if decision == Decision.GIVE_UP or not can_go_on else " Retry the run to go on."
        return f"Settled: {decision.label}.{retry_it}"

    return ask(request, question, SettleForm(posted(request)), decide)


def _what_settling_does(attempt: Attempt, run: Run | None) -> tuple[str, ...]:
    what = f"the request_id {attempt.request_id}" if attempt.request_id else "this row"
    arrived, again, given_up = _what_each_decision_does(run)
    return (
        f"Look for {what} in the table first. What you choose is written down with your name, and cannot be changed.",
        f"It arrived — the row counts as accepted{arrived}",
        f"It did not arrive: send again — {again}",
        f"Give up — the row counts as not sent{given_up}",
    )


def _what_each_decision_does(run: Run | None) -> tuple[str, str, str]:
    """The ends of the sentences about *it arrived*, *send again* and *give up*."""
    if refusal := why_not_again(run):
        stays = f", and the run stays {run.status}." if run is not None else "."
        return stays, f"{refusal} So choose another.", stays
    twice = "If it did arrive after all, the table then has it twice, and enrichments spend their credits twice."
    if run is not None and run.has_ended:
        again = f"a retry of the run sends the row once more. {twice}"
        return ", and a retry of the run goes on after it.", again, ", and the run stays failed."
    return ", and the run goes on.", f"the row goes out once more. {twice}", ", and its step fails."


def _about_run(run: Run, **question: Any) -> Question:
    page = reverse("console:run", args=[run.project.handle, run.pk])
    parents = (("Runs", reverse("console:runs", args=[run.project.handle])), (run.pk, page))
    return Question(back=page, parents=parents, **question)


def ask(
    request: ProjectRequest,
    question: Question,
    form: forms.Form,
    do: Callable[[forms.Form], str],
    *,
    inside: str = "",
) -> HttpResponse:
    """Show the question; once it is answered, do it and go back with what `do` says."""
    if request.method == "POST" and form.is_valid():
        try:
            said = do(form)
        except MobiusError as error:
            explain(form, error, inside=inside)
        else:
            messages.success(request, said)
            return redirect(question.back)
    context = {"question": question, "form": form}
    return render(request, "loops/operate.html", context, status=422 if form.errors else 200)
