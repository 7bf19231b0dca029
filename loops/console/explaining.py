"""Why a run is where it is, in a sentence for a person, and the one thing to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from integrations.models import Attempt, AttemptState
from loops.console.showing import duration
from loops.models import Run, RunStatus, Step, StepStatus, SuspendedFor
from loops.spec import LoopSpec, StepKind, StepSpec

INTEGRATIONS = "console:integrations"


@dataclass(frozen=True, kw_only=True)
class Why:
    """`todo` is empty when nothing needs to be done; `page` names the page where it is done, if there is one."""

    tone: str  # as of a state: info, good, wait, doubt or bad
    sentence: str
    todo: str = ""
    page: str = ""
    until: datetime | None = None  # when it goes on, or gives up, by itself
    until_words: str = ""

    @property
    def sign(self) -> str:
        """The icon of the notice."""
        return {"bad": "alert", "doubt": "question", "wait": "clock", "good": "check"}.get(self.tone, "info")


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What was read of a run, all at one moment."""

    run: Run
    spec: LoopSpec
    steps: Mapping[str, Step]  # by key; those that have begun
    attempts: Sequence[Attempt]  # oldest first

    @property
    def present_step(self) -> Step | None:
        """The step that the run is at, or has failed at."""
        unfinished = [step for step in self.steps.values() if not StepStatus(step.status).done]
        return max(unfinished, key=lambda step: step.seq, default=None)

    def spec_of(self, step: Step) -> StepSpec:
        return self.spec.steps[step.seq]

    def has(self, *states: AttemptState) -> bool:
        return any(attempt.state in states for attempt in self.attempts)


def why(situation: Situation) -> Why:
    run = situation.run
    match run.status:
        case RunStatus.QUEUED if run.queue_reason:
            return Why(
                tone="wait",
                sentence="It waits for an earlier run of its loop to end: the loop's concurrency policy says so.",
                todo="Nothing: it starts by itself. If it is not needed any more, cancel it.",
            )
        case RunStatus.QUEUED:
            return Why(
                tone="info",
                sentence="It is ready and waits for a free worker, which usually takes less than a second.",
                todo="If it stays here, see whether the server is running: python3 -m mobius check says what is wrong.",
            )
        case RunStatus.RUNNING:
            return _running(situation)
        case RunStatus.SUSPENDED:
            return _suspended(situation)
        case RunStatus.FAILED:
            return _failed(situation)
        case RunStatus.CANCELLED:
            was = "replaced by a newer run of its loop" if run.stop_reason == "replaced" else "cancelled"
            said = f"It was {was}. {run.error_message}".strip()  # who discarded its row, if somebody did
            todo = _look_in_clay(situation) if situation.has(AttemptState.IN_DOUBT) else ""
            return Why(tone="wait", sentence=f"{said} {_rows_of_an_ended_run(situation)}".strip(), todo=todo)
    took = duration(run.started_at, run.completed_at)
    return Why(tone="good", sentence=f"Every step has ended well. It took {took}.")


def name_of(step: Step | StepSpec) -> str:
    return step.name or step.key


def _running(situation: Situation) -> Why:
    if situation.has(AttemptState.SENDING):
        return Why(tone="info", sentence="A row is on its way; its answer is awaited for 20 seconds at most.")
    step = situation.present_step
    return Why(tone="info", sentence=f"The step “{name_of(step)}” is being worked on." if step else "It has begun.")


def _suspended(situation: Situation) -> Why:
    step, run = situation.present_step, situation.run
    if step is None or step.status != StepStatus.SUSPENDED:
        return Why(tone="wait", sentence="It was set aside for a moment, and goes on by itself.", until=run.wake_at)
    said = step.error_message
    match step.error_type:
        case SuspendedFor.PACED:
            sentence = "The row waits for its turn: Clay takes only so many rows a second. It goes out by itself."
            return Why(tone="info", sentence=sentence)
        case SuspendedFor.RETRYING:
            words = "The next attempt is due at"
            if situation.has(AttemptState.IN_DOUBT):
                return Why(tone="wait", sentence=_SENT_AGAIN, until=run.wake_at, until_words=words)
            return Why(tone="wait", sentence=f"The last attempt failed. {said}", until=run.wake_at, until_words=words)
        case SuspendedFor.INTEGRATION_PAUSED:
            todo = "Resume the integration, or connect it again; the row then goes out by itself."
            return Why(tone="wait", sentence=said or "The integration is paused.", todo=todo, page=INTEGRATIONS)
        case SuspendedFor.AT_LIMIT if run.wake_at is not None:
            sentence = "The webhook is almost at its limit, and the row waits for those that are on their way."
            return Why(tone="wait", sentence=sentence)
        case SuspendedFor.AT_LIMIT:
            todo = "Make a new webhook in Clay and connect its URL; the row then goes out by itself."
            return Why(tone="wait", sentence=said or "The webhook is full.", todo=todo, page=INTEGRATIONS)
        case SuspendedFor.DELIVERY_IN_DOUBT:
            return Why(tone="doubt", sentence=said or _NO_ANSWER, todo=_look_in_clay(situation))
        case SuspendedFor.SAME_ROW:
            todo = "Nothing, while that row is on its way. If it is in doubt, look for it in the Clay table."
            return Why(tone="wait", sentence=said or "Another run is sending the same row.", todo=todo)
    return _resting(situation, step)


_SENT_AGAIN = (
    "The row may or may not have arrived. It is sent again under the same request_id, by which the table tells that "
    "it is one row."
)
_NO_ANSWER = "The row was sent, but no answer came back: it may or may not have arrived."


def _resting(situation: Situation, step: Step) -> Why:
    if step.kind == StepKind.SLEEP:
        words = "It goes on at"
        return Why(tone="info", sentence="It sleeps.", until=situation.run.wake_at, until_words=words)
    config = situation.spec_of(step).config
    event_type = getattr(config, "event_type", "an event")
    words = "It gives up at"
    if not event_type.endswith(".callback"):
        return Why(tone="wait", sentence=f"It waits for {event_type}.", until=step.deadline_at, until_words=words)
    return Why(
        tone="wait",
        sentence="The row is in Clay, and the run waits for Clay to post its results back.",
        todo="In Clay, let the table's last HTTP API column post to the row's callback_url. "
        "If it has run already, see in Clay what it was answered.",
        until=step.deadline_at,
        until_words=words,
    )


def _failed(situation: Situation) -> Why:
    run = situation.run
    if situation.has(AttemptState.IN_DOUBT):
        return Why(tone="bad", sentence=run.error_message or _NO_ANSWER, todo=_look_in_clay(situation))
    sentence = run.error_message or "It failed, and did not say why."
    step = situation.present_step
    if step is not None:
        sentence = f"The step “{name_of(step)}” failed. {sentence}"
    rows = _rows_of_an_ended_run(situation)
    todo = _FIXES.get(run.error_type, _ANY_FIX)
    return Why(tone="bad", sentence=f"{sentence} {rows}".strip(), todo=todo, page=_page(run))


_ANY_FIX = "Mend what it says, then retry the run; where that cannot be, start a new one."
_FIXES = {
    "delivery_refused": "Mend what the answer says, such as the token or the address, then retry the run.",
    "delivery_not_sent": "See whether the address can be reached from here, then retry the run.",
    "delivery_abandoned": "If the row is still needed, retry the run: it is sent once more.",
    "bad_request": "Change what the loop sends, then start a new run.",
    "no_public_address": "Set MOBIUS_PUBLIC_URL, so that Clay can post back, then retry the run.",
    "internal_error": "This is a fault of ours: the server's log says more. A retry may help.",
    "check_failed": "Look at the outputs of the steps before it: what the loop demands does not hold.",
    "chain_too_deep": "See whether these loops start each other in a circle.",
    "loop_paused": "Activate the loop that it starts, then retry the run.",
    "expression_error": "Change the loop, or start a new run with an event that has what the step reads.",
    "not_connected": "Connect the integration, then retry the run.",
    "secret_unreadable": "Connect the integration again with the webhook's URL and token, then retry the run.",
    "submission_limit_reached": "Once rows have a webhook that takes them, retry the run.",
    "rate_limited": "Give the step a retry, such as three attempts with a delay of 2s, then start a new run.",
    "wait_timed_out": "See in Clay whether the HTTP API column ran and what it was answered, then retry the run.",
    "step_timed_out": "Give the step a longer timeout, or find out what it waited for, then start a new run.",
    "wall_clock_exceeded": "Find out what it waited for, and resume it with more time.",
}
_MENDED_AT_THE_INTEGRATION = {
    "not_connected",
    "secret_unreadable",
    "submission_limit_reached",
    "delivery_refused",
    "delivery_not_sent",
}


def _page(run: Run) -> str:
    return INTEGRATIONS if run.error_type in _MENDED_AT_THE_INTEGRATION else ""


def _look_in_clay(situation: Situation) -> str:
    doubtful = [attempt for attempt in situation.attempts if attempt.state == AttemptState.IN_DOUBT]
    request_id = doubtful[-1].request_id if doubtful else ""
    what = f"the request_id {request_id}" if request_id else "this row"
    return f"Look for {what} in the Clay table. Then settle the delivery; a callback for the row does that by itself."


def _rows_of_an_ended_run(situation: Situation) -> str:
    """What an ended run leaves behind in the table, if it did not end well."""
    if situation.has(AttemptState.SENDING, AttemptState.IN_DOUBT):
        return "A row may have been created in the table."
    if situation.has(AttemptState.ACCEPTED):
        return "A row was created in the table before that."
    return ""
