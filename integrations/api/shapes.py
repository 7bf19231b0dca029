"""What `/v1` shows of providers, integrations, actions and deliveries (mobius-contract §4 and §5)."""

from __future__ import annotations

from dataclasses import asdict

from integrations.catalog import Missing
from integrations.invoking import CallStatus
from integrations.models import AttemptKind, AttemptState, IntegrationStatus
from integrations.providers.contract import AuthKind, ConnectFlow, Failure, Stage
from integrations.providers.registry import all_providers
from mobius.api.shapes import (
    Named,
    anything,
    array,
    closed,
    flag,
    ident,
    items_of,
    moment,
    number,
    one_of,
    or_null,
    text,
    whole,
)

SHOWN = next(iter(all_providers().values()))
"""The provider of the examples."""

_MASKED = "https://api.clay.com/…a1b2"
_HEADER = text("x-clay-webhook-auth")

USAGE = Named(
    "Usage",
    closed(
        {
            "used": whole(412, description="Rows that exist for sure."),
            "possibly_used": whole(1, description="Rows in doubt."),
            "in_flight": whole(0),
            "limit": or_null(whole(50_000)),
            "left": or_null(whole(49_587)),
            "forecast_at": or_null(moment(description="When the limit is reached at the pace of the last seven days.")),
        }
    ),
)

SUCCESSOR = Named(
    "Successor",
    closed(
        {"webhook_url": text(_MASKED), "ready": flag(example=False, description="Tested."), "usage": USAGE},
        {"auth_header_name": _HEADER},
    ),
)

SETTINGS_SHOWN = Named(
    "IntegrationSettings",
    closed(
        {
            "workspace": text("default"),
            "rate_per_second": or_null(number(9.9)),
            "burst": whole(18),
            "submission_limit": or_null(whole(50_000)),
            "never_twice": flag(),
            "deduplicates": flag(example=False),
            "wait_at_limit": flag(example=False),
        }
    ),
)

INTEGRATION = Named(
    "Integration",
    closed(
        {
            "id": ident("intg"),
            "name": text(SHOWN.id),
            "provider": text(SHOWN.id),
            "status": one_of(IntegrationStatus),
            "config": closed(
                {},
                {
                    "webhook_url": text(_MASKED, description="Masked, but for the admin who just gave it."),
                    "auth_header_name": _HEADER,
                    "attention": text("The webhook refuses rows: 401.", description="Why we paused it."),
                },
                examples=[{"webhook_url": _MASKED, "auth_header_name": "x-clay-webhook-auth"}],
            ),
            "created_at": moment(),
            "updated_at": moment(),
        },
        {
            "usage": USAGE,
            "settings": SETTINGS_SHOWN,
            "successor": SUCCESSOR,
            "created_by": text("alice"),
            "tags": anything(),
        },
    ),
    rarely=("successor", "tags"),
)

CONNECTED = Named("Connected", closed({"kind": one_of(["complete"]), "integration": INTEGRATION}))

_ACTION_TEXTS = {
    "name": text(SHOWN.action_name(SHOWN.submit)),
    "title": text(SHOWN.submit.title),
    "description": text(SHOWN.submit.description),
    "input_schema": anything(SHOWN.submit.input_schema),
    "output_schema": anything(SHOWN.submit.output_schema),
}

PROVIDER = Named(
    "Provider",
    closed(
        {
            "name": text(SHOWN.id),
            "display_name": text(SHOWN.name),
            "description": text(SHOWN.description),
            "category": text(SHOWN.category),
            "auth_kind": one_of(AuthKind, example=SHOWN.auth_kind),
            "connect_flow": one_of(ConnectFlow, example=SHOWN.connect_flow),
            "capabilities": closed({name: flag(example=can) for name, can in asdict(SHOWN.capabilities).items()}),
            "connection": closed(
                {"connected": flag()},
                {
                    "integration_id": ident("intg"),
                    "integration_name": text(SHOWN.id),
                    "status": one_of(IntegrationStatus),
                    "updated_at": moment(),
                },
            ),
            "events": array({}, maxItems=0, examples=[[]]),
            "actions": array(closed(_ACTION_TEXTS)),
            "trigger_patterns": array({}, maxItems=0, examples=[[]]),
            "docs_url": text(SHOWN.docs_url),
        }
    ),
)

PROVIDERS = closed({"providers": array(PROVIDER)})

CATALOG_ENTRY = Named(
    "ActionCatalogEntry",
    closed(
        {
            **_ACTION_TEXTS,
            "source": one_of(["platform"]),
            "definition_scope": one_of(["platform"]),
            "integration": text(SHOWN.id),
            "endpoint_kind": one_of(["builtin"]),
            "readiness": one_of(["ready", "needs_setup"]),
            "risk": one_of(["medium"]),
            "annotations": closed({name: flag(example=False) for name in ("idempotent", "destructive", "read_only")}),
            "execution": closed(
                {"supported_locations": array(one_of(["managed"])), "default_location": one_of(["managed"])}
            ),
        },
        {"readiness_reason": one_of(Missing, description="What is missing, when it needs setup.")},
    ),
    rarely=("readiness_reason",),
)

CATALOG = items_of(CATALOG_ENTRY)

CALLED = Named(
    "ActionInvocationResult",
    closed(
        {"status": one_of(CallStatus, example=CallStatus.COMPLETED.value)},
        {
            "job_id": ident("att", description="The delivery, where one was made."),
            "output": anything({"ok": True, "status_code": 200, "request_id": "req_123"}),
            "error": text("Clay refused the row."),
        },
    ),
    rarely=("error",),
)

_DELIVERY = (
    {
        "id": ident("att"),
        "kind": one_of(AttemptKind),
        "state": one_of(AttemptState, example=AttemptState.ACCEPTED.value),
        "action_name": _ACTION_TEXTS["name"],
        "attempt": whole(1),
        "created_at": moment(),
    },
    {
        "integration_id": ident("intg"),
        "status_code": whole(200),
        "latency_ms": whole(184),
        "finished_at": moment(),
        "run_id": ident("run"),
        "request_id": text("req_123"),
        "external_id": text("lead_123"),
        "failure": one_of(Failure),
        "error_message": text("Clay did not answer in time."),
    },
)
_RARELY = ("failure", "error_message")

DELIVERY = Named("Delivery", closed(*_DELIVERY), rarely=_RARELY)
WHOLE_DELIVERY = Named(
    "DeliveryWithBodies",
    closed(
        _DELIVERY[0],
        {
            **_DELIVERY[1],
            "body": text('{"email":"ada@example.com"}', description="The row; a callback's address is a placeholder."),
            "response": text('{"accepted":true}'),
        },
    ),
    rarely=_RARELY,
)

TESTED = Named(
    "TestResult",
    closed(
        {
            "ok": flag(),
            "delivery_id": ident("att"),
            "state": one_of(AttemptState, example=AttemptState.ACCEPTED.value),
            "stages": array(one_of(Stage), description="How far it got, in this order."),
            "cause": text("Clay took the row."),
        },
        {
            "status_code": whole(200),
            "latency_ms": whole(184),
            "answer": text("OK"),
            "failure": one_of(Failure),
            "fix": text("Copy the webhook's URL again."),
        },
    ),
    rarely=("failure", "fix"),
)
