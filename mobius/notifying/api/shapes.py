"""What `/v1` shows of the contract's webhooks (mobius-contract §9)."""

from __future__ import annotations

from mobius.api.shapes import TAGS, Named, array, closed, flag, ident, moment, one_of, or_null, text, whole
from mobius.notifying.models import NotificationState
from mobius.notifying.subscribing import ALL_OF_A_KIND, EVENT_TYPES

_SECRET = {
    "secret_ref": text("mobius/webhook/wbh_01k9x3m5tq8d2v7w4hnc"),
    "secret_version": whole(1),
    "signing_secret": text("<32 bytes in base64>", description="It is shown this once."),
}
_WEBHOOK = (
    {
        "id": ident("wbh"),
        "name": text("crm"),
        "url": text("https://crm.example.com/mobius", description="Masked, but for admins."),
        "events": array(one_of((*EVENT_TYPES, *ALL_OF_A_KIND), example="run.completed"), description="Empty: all."),
        "enabled": flag(),
        "created_at": moment(),
        "updated_at": moment(),
        "secret_ref": _SECRET["secret_ref"],
    },
    {"created_by": text("alice"), "updated_by": text("alice"), "tags": TAGS},
)

WEBHOOK = Named("Webhook", closed(*_WEBHOOK))
NEW_WEBHOOK = Named("WebhookCreateResult", closed({**_WEBHOOK[0], **_SECRET}, _WEBHOOK[1]))
NEW_SECRET = Named("WebhookSecret", closed(_SECRET))

_DELIVERY = (
    {
        "id": ident("whd"),
        "webhook_id": ident("wbh"),
        "event_type": one_of((*EVENT_TYPES, "ping"), example="run.completed"),
        "status": one_of(NotificationState, example=NotificationState.DELIVERED.value),
        "attempts": whole(1),
        "created_at": moment(),
    },
    {"run_id": ident("run"), "last_error": text("It was answered with 500."), "delivered_at": moment()},
)
_TRY = closed(
    {"at": moment(), "status_code": or_null(whole(200)), "error": text(""), "latency_ms": whole(93)},
)

NOTIFICATION = Named("WebhookDelivery", closed(*_DELIVERY), rarely=("last_error",))
WHOLE_NOTIFICATION = Named(
    "WebhookDeliveryWithBodies",
    closed(
        {**_DELIVERY[0], "tries": array(_TRY, description="The latest attempts, the oldest first.")},
        {
            **_DELIVERY[1],
            "body": text('{"type":"run.completed","data":{}}'),
            "status_code": whole(200),
            "response": text("OK"),
            "latency_ms": whole(93),
            "next_attempt_at": moment(),
        },
    ),
    rarely=("last_error", "next_attempt_at"),
)

PINGED = Named(
    "WebhookPingResult",
    closed({"success": flag()}, {"status_code": whole(200), "error": text("No connection."), "latency_ms": whole(93)}),
    rarely=("error",),
)
