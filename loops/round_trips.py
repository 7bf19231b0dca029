"""Testing the way there and back: a test whose row says where to call back, and what is posted there.

No run waits for it: whoever tests looks whether something has come. Both doors for callbacks take it, for which the
test's attempt stands where a step does.
"""

from __future__ import annotations

from django.db import transaction

from integrations.models import Attempt, AttemptState, Integration
from integrations.probing import Probe, WayBack, probe
from integrations.providers.contract import JsonObject
from integrations.settling import Decision, NotInDoubt, settle_attempt
from loops import callback_addresses
from loops.models import Callback
from mobius import clock
from mobius.ids import new_id
from mobius.projects.auditing import Actor


def send_there_and_back(integration: Integration, row: JsonObject, *, by: Actor) -> Probe:
    """Test `integration` with `row`, to which it adds a `request_id` and the `callback_url` to post to.

    Raises what `probe` does, and NoPublicAddress when nobody can call us back.
    """
    attempt_id = new_id("att")
    address = callback_addresses.give_address_of_test(attempt_id)
    found = probe(integration, row, way_back=WayBack(attempt_id=attempt_id, callback_url=address), by=by)
    if found.attempt.state == AttemptState.IN_DOUBT and answer_to(found.attempt):  # it came before we gave up
        prove_arrival(found.attempt)
    return found


def answer_to(test: Attempt) -> Callback | None:
    """What came back first."""
    return Callback.objects.to_step(test.pk).used().first()


def tested_at(token: str) -> Attempt | None:
    """The test to whose address `token` belongs."""
    attempt_id = callback_addresses.tested_at(token)
    return Attempt.objects.without_bodies().filter(pk=attempt_id).first() if attempt_id else None


def tested_as(project_id: str, request_id: str) -> Attempt | None:
    """The test of this project whose row went out under `request_id`."""
    found = Attempt.objects.without_bodies().filter(pk=request_id, project_id=project_id).first()
    return found if found is not None and found.asks_to_be_called_back else None


@transaction.atomic
def prove_arrival(test: Attempt) -> None:
    """A callback came for the test's row, so the row is there. One that is on its way gets its own outcome."""
    try:
        settle_attempt(test, Decision.ARRIVED, by="a callback", reason="It answers this very row.", now=clock.now())
    except NotInDoubt:
        return
