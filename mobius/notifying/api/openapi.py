"""What the description of `/v1` says about the contract's webhooks."""

from __future__ import annotations

from integrations.secrets import SecretUnreadable
from mobius.api.operations import NOTHING, Answer, Body, Operation, done, made, ok, page_query
from mobius.api.shapes import one_of, page_of
from mobius.errors import AlreadyExists, Conflict
from mobius.notifying.api.shapes import NEW_SECRET, NEW_WEBHOOK, NOTIFICATION, PINGED, WEBHOOK, WHOLE_NOTIFICATION
from mobius.notifying.api.views import (
    DeliveryLogViewSet,
    NewWebhookSerializer,
    PingSerializer,
    WebhookSerializer,
    WebhookViewSet,
)
from mobius.notifying.subscribing import WebhookLimitReached

OPERATIONS = {
    (WebhookViewSet, "list"): Operation(
        id="listWebhooks",
        summary="List webhooks",
        query={"enabled": one_of(("true", "false")), **page_query()},
        answers=ok(page_of(WEBHOOK)),
    ),
    (WebhookViewSet, "create"): Operation(
        id="createWebhook",
        summary="Make a webhook",
        description="The signing secret is in this answer and in no later one. Without `url` nothing is sent.",
        body=Body(
            shape=NewWebhookSerializer,
            example={
                "name": "crm-runs",
                "url": "https://crm.example.com/mobius",
                "events": ["run.completed", "run.failed"],
                "tags": {"team": "growth"},
            },
        ),
        answers=made(NEW_WEBHOOK),
        refuses=(AlreadyExists, WebhookLimitReached),
    ),
    (WebhookViewSet, "retrieve"): Operation(id="getWebhook", summary="Read a webhook", answers=ok(WEBHOOK)),
    (WebhookViewSet, "partial_update"): Operation(
        id="updateWebhook",
        summary="Change a webhook",
        body=Body(shape=WebhookSerializer, example={"enabled": False}, required=False),
        answers=ok(WEBHOOK),
        refuses=(AlreadyExists,),
    ),
    (WebhookViewSet, "destroy"): Operation(id="deleteWebhook", summary="Delete a webhook", answers=done()),
    (WebhookViewSet, "rotate"): Operation(
        id="rotateWebhookSecret",
        summary="Make a new signing secret",
        description="For a day the former secret signs beside it.",
        body=NOTHING,
        answers=ok(NEW_SECRET),
    ),
    (WebhookViewSet, "ping"): Operation(
        id="pingWebhook",
        summary="Post a test event",
        description="To another address, if one is given: so it can be tried before it is saved.",
        body=Body(shape=PingSerializer, example={"url": "https://crm.example.com/mobius"}, required=False),
        answers=ok(PINGED),
        refuses=(SecretUnreadable,),
    ),
    (DeliveryLogViewSet, "list"): Operation(
        id="listWebhookDeliveries",
        summary="List what a webhook was told",
        query=page_query(),
        answers=ok(page_of(NOTIFICATION)),
    ),
    (DeliveryLogViewSet, "retrieve"): Operation(
        id="getWebhookDelivery", summary="Read a webhook's delivery", answers=ok(WHOLE_NOTIFICATION)
    ),
    (DeliveryLogViewSet, "redeliver"): Operation(
        id="redeliverWebhookDelivery",
        summary="Deliver once more",
        description="Under the same id.",
        body=NOTHING,
        answers={202: Answer(shape=NOTIFICATION, says="It is on its way.")},
        refuses=(Conflict,),
    ),
}
