"""A test's result, read back from what was recorded: the page shows it after a reload, and again a week later."""

from __future__ import annotations

from integrations.models import Attempt, AttemptState
from integrations.probing import Probe
from integrations.providers.contract import Diagnosis, Exchange, Failure, Stage
from integrations.providers.registry import get_provider

_ON_ITS_WAY = Diagnosis(cause="The row is on its way, and there is no answer yet.", fix="Reload this page in a moment.")

# How many stages an attempt passed before it failed without a byte of the row being sent.
_PASSED_UNSENT = {Failure.UNREACHABLE: 0, Failure.WITHHELD: 2}


def recall(attempt: Attempt) -> Probe:
    """What the test `attempt` found."""
    exchange = Exchange(
        request_began=attempt.state != AttemptState.NOT_SENT,
        status=attempt.status_code,
        body=attempt.response.encode(),
        failure=Failure(attempt.failure) if attempt.failure else None,
        latency_ms=attempt.latency_ms or 0,
    )
    under_way = attempt.state == AttemptState.SENDING
    diagnosis = _ON_ITS_WAY if under_way else get_provider(attempt.action.partition(".")[0]).diagnose(exchange)
    return Probe(attempt=attempt, diagnosis=diagnosis, stages=tuple(Stage)[: _stages_passed(attempt)])


def _stages_passed(attempt: Attempt) -> int:
    if attempt.state == AttemptState.ACCEPTED:
        return 5
    if attempt.status_code is not None:
        return 4
    if attempt.state == AttemptState.NOT_SENT:
        return _PASSED_UNSENT.get(Failure(attempt.failure), 1) if attempt.failure else 1
    return 3 if attempt.state == AttemptState.IN_DOUBT else 2
