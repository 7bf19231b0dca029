"""One POST as a page shows it: what went out without its secrets, what came back, and how to do it again by hand."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from integrations.models import Attempt, AttemptState
from loops.console.showing import LONGEST, PURGED, Shown, as_it_is, shown

MASK = "••••"

_ROW = {
    AttemptState.SENDING: "The row is on its way; the answer is not here yet.",
    AttemptState.ACCEPTED: "The row was taken.",
    AttemptState.REFUSED: "The row was not taken.",
    AttemptState.NOT_SENT: "Nothing left this console, so there is no row.",
    AttemptState.IN_DOUBT: "The row may or may not have arrived. It is never sent again by itself.",
    AttemptState.ABANDONED: "Somebody decided that the row did not arrive.",
}


@dataclass(frozen=True, kw_only=True)
class ShownAttempt:
    attempt: Attempt
    body: Shown
    response: Shown
    raw_body: Shown  # letter for letter, where the page shows it in another form; else ""
    raw_response: Shown
    headers: tuple[tuple[str, str], ...]  # names with what may be shown of their values
    curl: str  # "": the row is too long to be pasted into a shell

    @property
    def sentence(self) -> str:
        """What became of the row: the cause and the fix where something went wrong."""
        return self.attempt.error_message or _ROW[AttemptState(self.attempt.state)]

    @property
    def in_doubt(self) -> bool:
        return self.attempt.state == AttemptState.IN_DOUBT

    @property
    def went_wrong(self) -> bool:
        return self.attempt.state in (AttemptState.REFUSED, AttemptState.NOT_SENT)


def shown_attempt(attempt: Attempt) -> ShownAttempt:
    """`attempt` with its webhook, whose address and token stay out of every part of it."""
    header = attempt.webhook.auth_header_name
    body = shown(attempt.body) if attempt.body else PURGED
    response = shown(attempt.response) if attempt.response else Shown(text="")
    return ShownAttempt(
        attempt=attempt,
        body=body,
        response=response,
        raw_body=_raw(attempt.body, beside=body),
        raw_response=_raw(attempt.response, beside=response),
        headers=(("content-type", "application/json"), *(((header, MASK),) if header else ())),
        curl=_curl(header, attempt.body) if 0 < len(attempt.body) <= LONGEST else "",
    )


def _raw(text: str, *, beside: Shown) -> Shown:
    raw = as_it_is(text)
    return raw if raw.text != beside.text else Shown(text="")


def _curl(header: str, body: str) -> str:
    """For a shell in which WEBHOOK_URL, and TOKEN if there is a header, are set. Everything else is quoted."""
    lines = ['curl -X POST "$WEBHOOK_URL"', "-H 'Content-Type: application/json'"]
    if header:
        lines.append(f"""-H {shlex.quote(f"{header}: ")}"$TOKEN\"""")
    lines.append(f"--data-raw {shlex.quote(body)}")
    return " \\\n  ".join(lines)
