"""What the description of `/v1` says about providers, integrations, actions and deliveries."""

from __future__ import annotations

from collections.abc import Sequence

from django.forms import Form

from integrations.api import reading
from integrations.api.actions import ActionViewSet, InvokeSerializer
from integrations.api.shapes import (
    CALLED,
    CATALOG,
    CATALOG_ENTRY,
    CONNECTED,
    DELIVERY,
    INTEGRATION,
    PROVIDERS,
    SHOWN,
    SUCCESSOR,
    TESTED,
    WHOLE_DELIVERY,
)
from integrations.api.views import (
    MAX_PAGE,
    ChangedIntegrationSerializer,
    DeliveryViewSet,
    IntegrationViewSet,
    NewIntegrationSerializer,
    ProviderViewSet,
    TestSerializer,
)
from integrations.forms import BudgetForm, OptionsForm, SettingsForm
from integrations.models import AttemptState, IntegrationStatus
from integrations.providers.errors import NotConnected
from integrations.providers.registry import all_providers
from integrations.reserving import SubmissionLimitReached
from integrations.secrets import SecretUnreadable, WrongKey
from mobius.api.operations import Answer, Body, Operation, done, ok, page_query
from mobius.api.shapes import Named, Schema, authored, ident, of_form, one_of, page_of, text
from mobius.errors import AlreadyExists, Conflict


def _written(members: dict[str, Schema]) -> dict[str, Schema]:
    """As JSON gives them: what is written as a number may come as one, or as text such as `unlimited`."""
    either = {name: _number_or_text(members[name]) for name in members if name in reading.NUMBERS}
    return members | either


def _number_or_text(shape: Schema) -> Schema:
    return {"type": ["number", "string"], **({"description": shape["description"]} if "description" in shape else {})}


def read_by(connect_forms: Sequence[type[Form]], budget: type[BudgetForm]) -> Schema:
    """What connecting any of these takes: only what each form needs is needed."""
    known = {name: shape for form in connect_forms for name, shape in of_form(form).items()}
    needed = {name: shape for name, shape in known.items() if all(_needs(form, name) for form in connect_forms)}
    others = {name: shape for name, shape in known.items() if name not in needed}
    return authored(needed, others | _written(of_form(budget)))


def _needs(form: type[Form], name: str) -> bool:
    return name in form.base_fields and form.base_fields[name].required


_FORMS = [provider.connect_form for provider in all_providers().values()]
CONNECT = Named("Connect", read_by(_FORMS, OptionsForm))
STAGE = Named("StageSuccessor", read_by(_FORMS, BudgetForm))
SETTINGS = Named(
    "ChangedSettings",
    authored({}, {name: one for name, one in _written(of_form(SettingsForm)).items() if name in reading.SETTINGS}),
)

_PASTED = {
    "webhook_url": "https://api.clay.com/v3/sources/webhook/pull-in-data-from-a-webhook-0000",
    "auth_header_name": "x-clay-webhook-auth",
    "auth_header_value": "<token>",
}
_TEST = Body(shape=TestSerializer, example={"row": SHOWN.sample_row}, required=False)
_SENDS = (NotConnected, Conflict, SubmissionLimitReached, SecretUnreadable, WrongKey)
_COSTS = "It makes a row, takes a unit of the webhook's budget, and may start enrichments."

OPERATIONS = {
    (ProviderViewSet, "list"): Operation(
        id="listIntegrationProviders", summary="List what can be connected", answers=ok(PROVIDERS)
    ),
    (ProviderViewSet, "connect"): Operation(
        id="connectIntegration",
        summary="Connect, or connect anew",
        description="Stores the connection encrypted. It replaces the integration of the same `name`; give "
        "`auth_header_name` and `auth_header_value` together, or neither. Nothing is sent.",
        body=Body(shape=CONNECT, example=_PASTED),
        answers=ok(CONNECTED),
        refuses=(AlreadyExists, Conflict, WrongKey),
    ),
    (IntegrationViewSet, "list"): Operation(
        id="listIntegrations",
        summary="List integrations",
        query={
            "provider": text(SHOWN.id, description="The provider's name."),
            "status": one_of(IntegrationStatus),
            **page_query(MAX_PAGE),
        },
        answers=ok(page_of(INTEGRATION)),
    ),
    (IntegrationViewSet, "create"): Operation(
        id="createIntegration",
        summary="Connect under a name",
        description="`config` and `credentials` together are what connecting takes.",
        body=Body(
            shape=NewIntegrationSerializer,
            example={
                "name": f"{SHOWN.id}-leads",
                "provider": SHOWN.id,
                "config": {"webhook_url": _PASTED["webhook_url"], "auth_header_name": "x-clay-webhook-auth"},
                "credentials": {"auth_header_value": "<token>"},
            },
        ),
        answers={201: Answer(shape=INTEGRATION, says="Connected.")},
        refuses=(AlreadyExists, Conflict, WrongKey),
    ),
    (IntegrationViewSet, "retrieve"): Operation(
        id="getIntegration", summary="Read an integration", answers=ok(INTEGRATION)
    ),
    (IntegrationViewSet, "update"): Operation(
        id="updateIntegration",
        summary="Change an integration",
        description="`credentials` and `config` are each replaced whole; what is not given stays. But a stored header "
        "is sent to no other address: with another `webhook_url` send `credentials`, too. "
        "`status: inactive` pauses it, `active` resumes it.",
        body=Body(
            shape=ChangedIntegrationSerializer,
            example={"settings": {"rate_per_second": 5, "wait_at_limit": True}, "submissions_used": 1200},
            required=False,
        ),
        answers=ok(INTEGRATION),
        refuses=(AlreadyExists, Conflict, NotConnected, SecretUnreadable, WrongKey),
    ),
    (IntegrationViewSet, "destroy"): Operation(
        id="deleteIntegration",
        summary="Disconnect",
        description="The secret is erased; the log, the counts and the ledger stay.",
        answers=done(),
        refuses=(Conflict,),
    ),
    (IntegrationViewSet, "test"): Operation(
        id="testIntegration",
        summary="Send a test row",
        description=f"{_COSTS} A success resumes a paused integration.",
        body=_TEST,
        answers=ok(TESTED),
        refuses=_SENDS,
    ),
    (IntegrationViewSet, "successor"): Operation(
        id="getSuccessor", summary="Read the staged successor", answers=ok(SUCCESSOR)
    ),
    (IntegrationViewSet, "stage"): Operation(
        id="stageSuccessor",
        summary="Stage a successor of the webhook",
        description="Once tested, it takes over by itself when the present webhook has reached its limit.",
        body=Body(
            shape=STAGE,
            example={"webhook_url": "https://api.clay.com/v3/sources/webhook/pull-in-data-from-a-webhook-0001"},
        ),
        answers=ok(SUCCESSOR),
        refuses=(Conflict, WrongKey),
    ),
    (IntegrationViewSet, "unstage"): Operation(
        id="unstageSuccessor", summary="Take the successor back", answers=done(), refuses=(Conflict,)
    ),
    (IntegrationViewSet, "test_successor"): Operation(
        id="testSuccessor",
        summary="Send a test row to the successor",
        description=f"{_COSTS} A success makes the successor ready to take over.",
        body=_TEST,
        answers=ok(TESTED),
        refuses=_SENDS,
    ),
    (ActionViewSet, "list"): Operation(
        id="listActionCatalog", summary="List the actions, and what they lack", answers=ok(CATALOG)
    ),
    (ActionViewSet, "retrieve"): Operation(
        id="getActionCatalogEntry", summary="Read one action", answers=ok(CATALOG_ENTRY)
    ),
    (ActionViewSet, "invoke"): Operation(
        id="invokeAction",
        summary="Call an action",
        description="A call that fails is answered with 200, too: `status` says so. It makes a row; nothing here "
        "repeats it by itself.",
        body=Body(
            shape=InvokeSerializer,
            example={
                "input": {"payload": SHOWN.sample_row, "request_id": "req_123"},
                "timeout_seconds": 30,
            },
        ),
        answers={
            200: Answer(shape=CALLED, says="It has ended."),
            202: Answer(shape=CALLED, says="It takes longer than `timeout_seconds`; the delivery tells how it ends."),
        },
        refuses=_SENDS,
    ),
    (DeliveryViewSet, "list"): Operation(
        id="listDeliveries",
        summary="List the rows that were sent",
        query={
            "state": one_of(AttemptState),
            "run_id": ident("run"),
            "request_id": text("req_123"),
            "external_id": text("lead_123"),
            "integration_id": ident("intg"),
            **page_query(),
        },
        answers=ok(page_of(DELIVERY)),
    ),
    (DeliveryViewSet, "retrieve"): Operation(
        id="getDelivery", summary="Read a delivery, with its bodies", answers=ok(WHOLE_DELIVERY)
    ),
}
