"""A restored copy sends nothing until somebody says so.

What the original did after the backup is not known in the copy: a row that waits here may have been sent there.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from integrations import connecting
from integrations.models import Integration, IntegrationStatus
from mobius.projects.auditing import SYSTEM, Actor

_SENTENCE = (
    "This console was restored from a backup of {taken_at:%d %B %Y, %H:%M} UTC. What the original did after that is "
    "not known here, so rows that wait may have been sent already. Nothing goes out until you resume: compare the "
    "waiting rows with the table, discard those that are there, set the count under Settings, then resume."
)


@transaction.atomic
def hold_all(*, taken_at: datetime, now: datetime, by: Actor = SYSTEM) -> int:
    """Let nothing go out of any integration until a person resumes it. Returns how many there are.

    A test, a new auth header or a new webhook does not resume it: none of them says that the waiting rows may go.
    """
    sentence = _SENTENCE.format(taken_at=taken_at)
    integrations = list(Integration.objects.all())
    for integration in integrations:
        if integration.status != IntegrationStatus.EXPIRED:
            integration.status = IntegrationStatus.INACTIVE
        integration.attention, integration.held_since = sentence, now
        integration.save(update_fields=["status", "attention", "held_since", "updated_at"])
        connecting.note(by, "hold", integration, reason=sentence)
    return len(integrations)
