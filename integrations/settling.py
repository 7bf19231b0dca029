"""Settling a doubt by a person: did the row arrive? (design §4, "in_doubt ends in four ways")"""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import F

from integrations import ledger
from integrations.models import Attempt, AttemptState, Webhook
from mobius.errors import Conflict


class Decision(models.TextChoices):
    """What a person says of a row in doubt, after looking into the table."""

    ARRIVED = "arrived", "It arrived"
    SEND_AGAIN = "send_again", "It did not arrive: send again"
    GIVE_UP = "give_up", "Give up"


_SAID = {
    Decision.ARRIVED: "the row arrived",
    Decision.SEND_AGAIN: "the row did not arrive and may be sent again",
    Decision.GIVE_UP: "the row is given up",
}


class NotInDoubt(Conflict):
    """This delivery is not in doubt, or not any more."""


def settle_attempt(attempt: Attempt, decision: Decision, *, by: str, reason: str, now: datetime) -> Attempt:
    """End the doubt about `attempt`, in the caller's transaction.

    What arrived keeps its unit and its ledger entry; else both are free again. Raises NotInDoubt saying what happened
    when somebody or something else was quicker.
    """
    arrived = decision == Decision.ARRIVED
    settled = Attempt.objects.filter(pk=attempt.pk, state=AttemptState.IN_DOUBT).update(
        state=AttemptState.ACCEPTED if arrived else AttemptState.ABANDONED,
        error_message=f"Settled by {by}: {_SAID[decision]}. {reason}"[:1000],
        finished_at=now,
    )
    attempt.refresh_from_db()
    if not settled:
        raise _not_in_doubt(attempt)
    if not arrived:
        # A person may have set the count lower than what we counted.
        Webhook.objects.filter(pk=attempt.webhook_id, used__gt=0).update(used=F("used") - 1)
        ledger.free(attempt.pk)
    return attempt


def _not_in_doubt(attempt: Attempt) -> NotInDoubt:
    state = AttemptState(attempt.state)
    happened = attempt.error_message or f"It is {state.label.lower()}."
    return NotInDoubt(
        f"This delivery is not in doubt. {happened}", details={"delivery_id": attempt.pk, "state": state.value}
    )
