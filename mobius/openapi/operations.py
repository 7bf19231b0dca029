"""What each app says about its own addresses, in one place; and what they all say alike."""

from __future__ import annotations

from typing import Any

from integrations.api import openapi as integrations
from loops.api import openapi as loops
from loops.api import push_operations as pushes
from mobius.alerting.api import openapi as alerting
from mobius.api.operations import Answer, Operation, ok
from mobius.api.shapes import anything
from mobius.notifying.api import openapi as notifying
from mobius.openapi.views import YAML, DescriptionViewSet
from mobius.projects.api import openapi as projects

_OWN = {
    (DescriptionViewSet, "as_yaml"): Operation(
        id="getDescription",
        summary="Read this description",
        answers={200: Answer(shape=anything({"openapi": "3.1.1"}), media_type=YAML)},
    ),
    (DescriptionViewSet, "as_json"): Operation(
        id="getDescriptionAsJSON", summary="Read this description as JSON", answers=ok(anything({"openapi": "3.1.1"}))
    ),
}

TAGGED: dict[str, dict[tuple[type[Any], str], Operation]] = {
    "Loops and runs": loops.OPERATIONS,
    "Pushes": pushes.OPERATIONS,
    "Integrations and deliveries": integrations.OPERATIONS,
    "Webhooks": notifying.OPERATIONS,
    "Alerts": alerting.OPERATIONS,
    "Projects and keys": projects.OPERATIONS,
    "This description": _OWN,
}
OPERATIONS = {place: operation for operations in TAGGED.values() for place, operation in operations.items()}
TAG_OF = {place: tag for tag, operations in TAGGED.items() for place in operations}

PATH: dict[str, str] = {
    "project": "The project's handle.",
    "loop": "The loop's id or its name.",
    "push": "The push's id.",
    "run": "The run's id.",
    "step": "The step's id.",
    "integration": "The integration's id.",
    "provider": "The provider's name, such as `clay`.",
    "action": "The action's name, such as `clay.webhook.submit`.",
    "delivery": "The delivery's id.",
    "invocation": "The call's id.",
    "webhook": "The webhook's id.",
    "notification": "The id of the webhook's delivery.",
    "principal": "The service principal's id.",
    "key": "The API key's id; not the key.",
    "trigger": "The trigger's key in its loop.",
    "token": "The secret part of the callback's address.",
    "handle": "The trigger's secret handle.",
    "kind": "The kind of file.",
}
"""What the placeholders of the addresses stand for."""
