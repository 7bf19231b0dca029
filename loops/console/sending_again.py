"""May this row be sent again? What can be done about a delivery, in a sentence, and the page on which it is done."""

from __future__ import annotations

from dataclasses import dataclass, replace

from integrations.delivering import CALLBACK_PLACEHOLDER
from integrations.models import Attempt, AttemptKind, AttemptState
from integrations.sending_anew import why_not_anew
from loops.models import LoopStatus, Run
from loops.retrying import why_not


@dataclass(frozen=True, kw_only=True)
class Again:
    """`page` is empty when nothing is to be done here."""

    sentence: str
    anew: bool = False  # may it go out as a new request, under another request_id?
    start_anew: bool = False  # may a new run with the event of this row's run send it?
    page: str = ""  # the name of the page
    id: str = ""  # what that page is about
    button: str = ""


def again(attempt: Attempt, run: Run | None, *, is_latest: bool) -> Again:
    """`run`: of this row, with its loop. `is_latest`: no later attempt of its step was made."""
    found = _again(attempt, run, is_latest=is_latest)
    over = attempt.state == AttemptState.ACCEPTED or (is_latest and (run is None or run.has_ended))
    if attempt.is_open or not over:
        return found
    can_start = run is not None and run.purged_at is None and run.loop.status != LoopStatus.DELETED
    if can_start and CALLBACK_PLACEHOLDER in attempt.body:
        sentence = f"{found.sentence} The result of such a row comes back to its run, so a new run sends another."
        return replace(found, sentence=sentence, start_anew=True)
    return replace(found, anew=not why_not_anew(attempt))


def _again(attempt: Attempt, run: Run | None, *, is_latest: bool) -> Again:
    state = AttemptState(attempt.state)
    if state == AttemptState.SENDING:
        return Again(sentence="It is on its way. Nothing is to be done: the answer comes within 20 seconds.")
    if state == AttemptState.ACCEPTED:
        return Again(sentence="Already accepted: it is not sent again. Another row needs a new request_id.")
    if state == AttemptState.IN_DOUBT:
        sentence = "Nobody knows whether it arrived, so it is not sent again before somebody has looked in the table."
        return Again(sentence=sentence, page="console:delivery_settle", id=attempt.pk, button="Settle")
    if not is_latest:
        return Again(sentence="No row was created by this attempt. Its step has tried again since.")
    return _without_a_row(attempt, run)


def _without_a_row(attempt: Attempt, run: Run | None) -> Again:
    safe = "No row was created, so sending it again is safe."
    if run is None:
        by_hand = attempt.kind == AttemptKind.TEST
        return Again(sentence=f"{safe} {'Test the webhook again.' if by_hand else 'Call the action again.'}")
    if refusal := why_not(run):
        if run.has_ended:
            instead = "start a new run to send it" if why_not_anew(attempt) else "send it as a new request"
            return Again(sentence=f"{safe} {refusal} So {instead}.")
        return Again(sentence=f"{safe} Its run is still going and sees to that itself.")
    return Again(
        sentence=f"{safe} Mend what the answer says first; a retry of its run then sends it.",
        page="console:run_retry",
        id=run.pk,
        button="Send again",
    )
