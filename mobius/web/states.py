"""How a state looks on a page: a word, an icon and a tone together, so that colour never speaks alone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """A state in words for people; `tone` is one of neutral, info, wait, good, bad and doubt."""

    word: str
    tone: str
    icon: str
    meaning: str = ""


LOOKS = {
    # runs and steps
    "queued": Look("Queued", "neutral", "clock", "Ready, waiting for a free worker."),
    "pending": Look("Pending", "neutral", "circle", "Its turn has not come yet."),
    "running": Look("Running", "info", "spinner", "Being worked on now."),
    "suspended": Look("Suspended", "wait", "pause", "Waiting for something before it goes on."),
    "completed": Look("Completed", "good", "check", "Ended well."),
    "failed": Look("Failed", "bad", "cross", "Ended with an error."),
    "cancelled": Look("Cancelled", "neutral", "ban", "Stopped by a person or an API call."),
    "skipped": Look("Skipped", "neutral", "skip", "Its condition was not met."),
    # pushes
    "draft": Look("Draft", "neutral", "circle", "Not in use yet."),
    "checked": Look("Checked", "info", "check", "The dry run is done; nothing was sent yet."),
    # what a suspended step waits for
    "paced": Look("Waiting for pace", "wait", "clock", "Clay takes only so many rows a second."),
    "retrying": Look("Waiting to retry", "wait", "loop", "It will be tried again."),
    "integration_paused": Look("Integration paused", "wait", "pause", "It goes on when the integration is resumed."),
    "same_row": Look("Same row", "wait", "clock", "Another run is sending the same row."),
    "at_limit": Look("At the limit", "wait", "alert", "The webhook has taken all the rows it can."),
    "delivery_in_doubt": Look("In doubt", "doubt", "question", "Somebody must say whether the row arrived."),
    # attempts
    "sending": Look("Sending", "info", "send", "On its way; the answer is not known yet."),
    "accepted": Look("Accepted", "good", "check", "The row was taken."),
    "refused": Look("Refused", "bad", "cross", "The row was not taken, and the answer says why."),
    "not_sent": Look("Not sent", "bad", "minus", "No connection was made: no row was created."),
    "in_doubt": Look(
        "In doubt", "doubt", "question", "Sent, but no answer came: look in the table whether it is there."
    ),
    "abandoned": Look("Abandoned", "neutral", "ban", "Somebody decided that it did not arrive, and gave it up."),
    # callbacks
    "kept": Look("Kept", "wait", "clock", "It came before a step waits for it."),
    "used": Look("Used", "good", "check", "It is the result of the step that waited for it."),
    "unmatched": Look("Unmatched", "wait", "question", "It came, but satisfied no waiting step."),
    "update": Look("Update", "neutral", "loop", "It came after another one had been used; the result is unchanged."),
    "late": Look("Late", "neutral", "clock", "It came after the run had ended, and changes nothing."),
    "ambiguous": Look("Ambiguous", "doubt", "question", "Several rows could be meant: somebody must say which one."),
    # integrations, webhooks and keys
    "active": Look("Active", "good", "check", "In use."),
    "inactive": Look("Inactive", "neutral", "minus", "Switched off."),
    "paused": Look("Paused", "wait", "pause", "Steps wait until it is resumed."),
    "expired": Look("Expired", "bad", "clock", "Its time is over: it needs a new credential."),
    "revoked": Look("Revoked", "neutral", "ban", "Taken back: it opens nothing any more."),
    "current": Look("Current", "good", "check", "Rows go here."),
    "staged": Look("Staged", "info", "clock", "Takes over when the current one is full."),
    "retired": Look("Retired", "neutral", "minus", "No longer used."),
    # how much of a webhook's budget is gone
    "half_used": Look("Half used", "info", "info", "At least 50 % of the submissions are used."),
    "three_quarters_used": Look("Three quarters used", "wait", "alert", "At least 75 % of the submissions are used."),
    "nearly_full": Look("Nearly full", "bad", "alert", "At least 90 % of the submissions are used."),
    "almost_full": Look("Almost full", "bad", "alert", "At least 97 % of the submissions are used."),
    "full": Look("Full", "bad", "ban", "Every submission is used: nothing more goes to this webhook."),
    # webhooks and what they were told
    "enabled": Look("On", "good", "check", "It is told what happens."),
    "disabled": Look("Off", "neutral", "minus", "Switched off: a webhook is told nothing, a key opens nothing."),
    "failing": Look("Failing", "bad", "alert", "The last deliveries did not succeed."),
    "delivered": Look("Delivered", "good", "check", "The receiver took it."),
    "processing": Look("Sending", "info", "send", "An attempt is under way."),
    "sent": Look("Sent", "good", "check", "It went out, and was taken."),
    # a field of what a loop was called with
    "arrived": Look("Arrived", "good", "check", "It came with a value."),
    "missing": Look("Missing", "bad", "cross", "It did not come, and the loop needs it."),
    "left_out": Look("Left out", "neutral", "minus", "It did not come; the loop may do without it."),
    "empty": Look("Empty", "wait", "alert", "It came without a value."),
    "unfilled": Look("Not filled in", "bad", "alert", "The name of the column came instead of the row's value."),
    "unexpected": Look("Unexpected", "wait", "alert", "It came with another value than the recipe gives it."),
}


def look_of(state: str) -> Look:
    """How `state` looks; a state that nobody described is shown by its own name."""
    return LOOKS.get(state) or Look(state.replace("_", " ").capitalize(), "neutral", "circle")
