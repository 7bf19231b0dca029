"""What one exchange means for the row and for the step: the table of design §4, pure."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from integrations.models import AttemptState
from integrations.providers.contract import Action, Diagnosis, Exchange, JsonObject, Provider
from integrations.providers.reading import storable

LONGEST_RETRY_AFTER_SECONDS = 3600
PAUSING_STATUSES = frozenset({401, 403, 404, 410})
"""Three of these in a row mean that the webhook itself is wrong, not the row."""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """The outcome of one attempt."""

    state: AttemptState
    status: int | None = None
    output: JsonObject = field(default_factory=dict)  # of the action, when accepted
    error_type: str = ""
    error_message: str = ""  # cause and fix
    retry_after_seconds: float = 0  # how long the far side asks us to wait
    may_retry: bool = False  # no row exists, and another attempt could succeed
    at_limit: bool = False  # the webhook takes no more, ever

    @property
    def refuses_the_webhook(self) -> bool:
        """Would every other row be refused in the same way?"""
        return self.state == AttemptState.REFUSED and self.status in PAUSING_STATUSES

    @property
    def speaks_of_the_webhook(self) -> bool:
        """Is the webhook wrong, rather than this row? A redirect means every row, too."""
        return self.refuses_the_webhook or (
            self.state == AttemptState.REFUSED and self.status is not None and 300 <= self.status < 400
        )

    @property
    def answered(self) -> bool:
        """Did a definite status line come back? Then a doubt fails the step at once instead of suspending it."""
        return self.status is not None


def state_of(exchange: Exchange) -> AttemptState:
    """The attempt's state after `exchange` (design §4, first column to second)."""
    status = exchange.status
    if status is None:
        return AttemptState.IN_DOUBT if exchange.request_began else AttemptState.NOT_SENT
    if exchange.accepted:
        return AttemptState.ACCEPTED
    # A 5xx says nothing about the row, and a broken answer cannot be trusted to be the refusal that it looks like.
    if status >= 500 or (exchange.failure is not None and not exchange.body):
        return AttemptState.IN_DOUBT
    return AttemptState.REFUSED


def judge(provider: Provider, action: Action, exchange: Exchange, *, request_id: str) -> Delivery:
    """The outcome that `exchange` is, with the action's output or the reason in plain words."""
    state = state_of(exchange)
    if state == AttemptState.ACCEPTED:
        return Delivery(state=state, status=exchange.status, output=_output(action, exchange, request_id))
    diagnosis = provider.diagnose(exchange)
    return Delivery(
        state=state,
        status=exchange.status,
        error_type=error_type(state, exchange.status),
        error_message=_sentence(provider, exchange, diagnosis),
        retry_after_seconds=retry_after(exchange.headers) if exchange.status == 429 else 0,
        may_retry=state == AttemptState.NOT_SENT or (state == AttemptState.REFUSED and exchange.status == 429),
        at_limit=diagnosis.at_limit,
    )


def unexplained(exchange: Exchange) -> Delivery:
    """The outcome when the provider's own code could not read the answer: the state is known all the same."""
    state = state_of(exchange)
    if state == AttemptState.ACCEPTED:
        return Delivery(state=state, status=exchange.status, output={"ok": True, "status_code": exchange.status})
    message = "The answer could not be explained; this console's log has the details."
    return Delivery(
        state=state, status=exchange.status, error_type=error_type(state, exchange.status), error_message=message
    )


def _output(action: Action, exchange: Exchange, request_id: str) -> JsonObject:
    """The action's output. A provider that lets through what cannot be stored must not fail an accepted row."""
    output = action.output(exchange, request_id)
    return output if storable(output) else {"ok": True, "status_code": exchange.status}


def retry_after(headers: Mapping[str, str]) -> float:
    """`Retry-After` in seconds, given as seconds or as an HTTP date (RFC 9110 §10.2.3); 1 s to 1 h, 1 s for garbage."""
    text = headers.get("retry-after", "").strip()
    try:
        seconds = float(text) if text.isascii() and text.isdigit() else _seconds_until(text)
    except (ValueError, TypeError, OverflowError):
        seconds = 1.0
    return min(max(seconds, 1.0), LONGEST_RETRY_AFTER_SECONDS)


def _seconds_until(http_date: str) -> float:
    return email.utils.parsedate_to_datetime(http_date).timestamp() - time.time()


def error_type(state: AttemptState, status: int | None) -> str:
    """What a step says of an attempt that did not bring its row."""
    if state == AttemptState.IN_DOUBT:
        return "delivery_in_doubt"
    if state == AttemptState.NOT_SENT:
        return "delivery_not_sent"
    return "rate_limited" if status == 429 else "delivery_refused"


def _sentence(provider: Provider, exchange: Exchange, diagnosis: Diagnosis) -> str:
    said = f"{provider.name} answered {exchange.status}. " if exchange.status is not None else ""
    return f"{said}{diagnosis.cause} {diagnosis.fix}".strip()[:1000]
