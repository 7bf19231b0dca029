"""What the description of `/v1` says about loops, runs, callbacks and waiting rows."""

from __future__ import annotations

from integrations.api.shapes import DELIVERY
from integrations.settling import NotInDoubt
from loops.admitting import LoopBusy
from loops.api.callbacks import CallbackAtAddress, ClayCallbackViewSet, OverdueViewSet
from loops.api.events import RunEventViewSet
from loops.api.invocations import InvocationViewSet
from loops.api.operating import (
    OperatingViewSet,
    ReasonSerializer,
    RecoverySerializer,
    SettleSerializer,
    SettlingViewSet,
    SignalSerializer,
)
from loops.api.queue import QueueViewSet
from loops.api.shapes import (
    ACCEPTED_CALL,
    CALLED_BACK,
    DISCARDED,
    INVOCATION,
    INVOCATION_STATUSES,
    LOOP,
    OVERDUE,
    QUEUE,
    RUN,
    RUN_EVENTS,
    SIGNING_SECRET,
    START,
    STEP_SHOWN,
    STREAM,
    WHOLE_INVOCATION,
)
from loops.api.spec_shapes import AUTHORED, LOOP_NAME, PUSH_LEADS
from loops.api.triggers import HttpTrigger, TriggerViewSet
from loops.api.views import LoopViewSet, RunViewSet
from loops.models import LoopStatus, RunStatus
from loops.retrying import CannotGoOn, DeliveryInDoubt
from loops.settling import NothingToSend
from loops.starting import LONGEST_KEY, IdempotencyKeyConflict, LoopPaused, TooDeep
from loops.triggers.calling import InvalidSignature
from mobius.api.operations import NOTHING, Answer, Body, Operation, done, made, ok, page_query
from mobius.api.shapes import Named, Shape, anything, authored, ident, items_of, one_of, page_of, text
from mobius.api.streaming import MEDIA_TYPE
from mobius.errors import AlreadyExists, Conflict, Unauthorized

_NEW_LOOP = Named("CreateLoopRequest", authored({"name": LOOP_NAME}, AUTHORED))
_ON_OFF: Shape = one_of((LoopStatus.ACTIVE, LoopStatus.PAUSED), description="A paused loop starts nothing.")
_CHANGED_LOOP = Named("UpdateLoopRequest", authored({}, {"name": LOOP_NAME, **AUTHORED, "status": _ON_OFF}))
_CALLBACK = Body(
    shape=anything(description="Any JSON object."), example={"request_id": "req_123", "score": 9}, required=False
)
_AFTER = {
    "after_sequence": {
        "type": "integer",
        "minimum": 0,
        "maximum": 999_999_999,
        "description": "Only what came after this event; 0: from the beginning.",
    }
}
_LAST_EVENT = {"Last-Event-ID": text("4", description="As `after_sequence`; of both, the larger counts.")}
_GOING_ON = Body(shape=RecoverySerializer, example={"reason": "The token was rotated."}, required=False)
_CANNOT = (CannotGoOn, DeliveryInDoubt)
_STARTS = (LoopPaused, LoopBusy, TooDeep, Conflict)

OPERATIONS = {
    (LoopViewSet, "list"): Operation(
        id="listLoops",
        summary="List loops",
        query={"status": one_of(LoopStatus), "agent_id": text("agent_01"), **page_query()},
        answers=ok(page_of(LOOP)),
    ),
    (LoopViewSet, "create"): Operation(
        id="createLoop",
        summary="Make a loop",
        description="With steps it is active at once; without, a draft. Every write makes a new version, and runs keep "
        "the one they started with.",
        body=Body(shape=_NEW_LOOP, example=PUSH_LEADS),
        answers=made(LOOP),
        refuses=(AlreadyExists,),
    ),
    (LoopViewSet, "retrieve"): Operation(id="getLoop", summary="Read a loop", answers=ok(LOOP)),
    (LoopViewSet, "partial_update"): Operation(
        id="updateLoop",
        summary="Change a loop, pause it or set it active",
        description="A field that is given replaces the whole of it; the others stay.",
        body=Body(shape=_CHANGED_LOOP, example={"status": "active", "tags": {"team": "growth"}}, required=False),
        answers=ok(LOOP),
        refuses=(AlreadyExists,),
    ),
    (LoopViewSet, "destroy"): Operation(
        id="deleteLoop",
        summary="Delete a loop",
        description="Its runs go on and stay readable; new ones cannot start.",
        answers=done(),
    ),
    (LoopViewSet, "start"): Operation(
        id="startRun",
        summary="Start a run",
        description="By the loop's id or its name. While a run with the `idempotency_key` is active, the same run is "
        "answered and nothing is started; after its end the key is refused with 409, unless the loop's settings say "
        "otherwise.",
        body=Body(
            shape=START,
            example={
                "event": {"email": "ada@example.com"},
                "source": {"type": "api", "id": "clay", "label": "Clay"},
                "idempotency_key": "clay:r_17",
            },
            required=False,
        ),
        headers={"Idempotency-Key": text("clay:r_17", description="As in the body; if both, alike.")},
        answers={202: Answer(shape=RUN, says="The run, written down.")},
        refuses=(IdempotencyKeyConflict, *_STARTS),
    ),
    (TriggerViewSet, "demand_signature"): Operation(
        id="createTriggerSecret",
        summary="Demand signed calls of an HTTP trigger",
        description="A new secret each time; the former one opens nothing any more.",
        body=NOTHING,
        answers={201: Answer(shape=SIGNING_SECRET, says="Calls must be signed from now on.")},
    ),
    (TriggerViewSet, "take_unsigned"): Operation(
        id="deleteTriggerSecret", summary="Take unsigned calls of an HTTP trigger", answers=done()
    ),
    (HttpTrigger, "post"): Operation(
        id="deliverHTTPTrigger",
        summary="Call an HTTP trigger",
        description="The body becomes the run's event. The handle in the address is the authentication.",
        body=Body(shape=anything(description="Any JSON object."), example={"email": "ada@example.com"}, required=False),
        query={"idempotency_key": text("signup-17", maxLength=LONGEST_KEY)},
        headers={
            "X-Idempotency-Key": text("signup-17", description="The query's counts before it."),
            "X-Mobius-Signature": text("sha256=<hex>", description="HMAC-SHA256 of the raw body, where demanded."),
        },
        answers={202: Answer(shape=ACCEPTED_CALL, says="Taken; the run is found by its `source_event_id`.")},
        refuses=(InvalidSignature, *_STARTS),
        public=True,
    ),
    (RunViewSet, "list"): Operation(
        id="listRuns",
        summary="List runs",
        query={
            "status": one_of(RunStatus),
            "loop_id": ident("loop"),
            "source_event_id": ident("sevt"),
            **page_query(),
        },
        answers=ok(page_of(RUN)),
    ),
    (RunViewSet, "retrieve"): Operation(id="getRun", summary="Read a run", answers=ok(RUN)),
    (RunViewSet, "steps"): Operation(
        id="listRunSteps",
        summary="List a run's steps",
        description="In order; those that have not begun are pending.",
        answers=ok(items_of(STEP_SHOWN)),
    ),
    (RunEventViewSet, "list"): Operation(
        id="listRunEvents",
        summary="Read or follow a run's log",
        description="A page; or a stream, with `Accept: text/event-stream`, which ends with the run.",
        query=_AFTER | {"limit": page_query()["limit"]},
        headers=_LAST_EVENT,
        answers={200: Answer(shape=RUN_EVENTS, also={MEDIA_TYPE: STREAM})},
    ),
    (RunEventViewSet, "stream"): Operation(
        id="streamRunEvents",
        summary="Follow a run's log",
        description="The older address of the stream; its events have no payload.",
        query=_AFTER,
        headers=_LAST_EVENT,
        answers={200: Answer(shape=STREAM, media_type=MEDIA_TYPE)},
    ),
    (OperatingViewSet, "cancel"): Operation(
        id="cancelRun",
        summary="Cancel a run",
        description="At once. A run that has ended stays as it is. A row that is under way still gets its outcome.",
        body=Body(shape=ReasonSerializer, example={"reason": "Wrong list."}, required=False),
        answers=ok(RUN),
    ),
    (OperatingViewSet, "retry"): Operation(
        id="retryRun",
        summary="Retry a failed run",
        description="From the step that failed; a row that was accepted is not sent again.",
        body=_GOING_ON,
        answers={202: Answer(shape=RUN, says="It goes on.")},
        refuses=_CANNOT,
    ),
    (OperatingViewSet, "resume"): Operation(
        id="resumeRun",
        summary="Resume a failed run",
        description="As retrying, and logged as a resume.",
        body=_GOING_ON,
        answers={202: Answer(shape=RUN, says="It goes on.")},
        refuses=_CANNOT,
    ),
    (OperatingViewSet, "signal"): Operation(
        id="signalRun",
        summary="Answer a waiting step",
        description="`result` becomes the step's output.",
        body=Body(shape=SignalSerializer, example={"step_key": "answer", "result": {"score": 9}}),
        answers=ok(RUN),
    ),
    (InvocationViewSet, "list"): Operation(
        id="listActionInvocations",
        summary="List the calls of actions",
        description="Those that have ended.",
        query={
            "run_id": ident("run"),
            "action_name": text("clay.webhook.submit"),
            "job_id": ident("att"),
            "delivery_id": ident("att"),
            "status": one_of(INVOCATION_STATUSES),
            "definition_scope": one_of(("platform",)),
            **page_query(),
        },
        answers=ok(page_of(INVOCATION)),
    ),
    (InvocationViewSet, "retrieve"): Operation(
        id="getActionInvocation", summary="Read a call of an action", answers=ok(WHOLE_INVOCATION)
    ),
    (SettlingViewSet, "settle"): Operation(
        id="settleDelivery",
        summary="Settle a delivery in doubt",
        description="Say what became of a row that nobody knows about, and how you know.",
        body=Body(shape=SettleSerializer, example={"decision": "arrived", "reason": "Looked into the table."}),
        answers=ok(DELIVERY),
        refuses=(NotInDoubt, NothingToSend),
    ),
    (CallbackAtAddress, "post"): Operation(
        id="receiveCallback",
        summary="Post a callback to its address",
        description="What Clay's last column does. The token in the address is the authentication; a loop may demand a "
        "key beside it.",
        body=_CALLBACK,
        answers=ok(CALLED_BACK),
        refuses=(Unauthorized,),
        public=True,
    ),
    (ClayCallbackViewSet, "create"): Operation(
        id="receiveClayCallback",
        summary="Post a callback by request_id",
        description="The row is found by the `request_id` in the body.",
        body=_CALLBACK,
        answers=ok(CALLED_BACK),
    ),
    (OverdueViewSet, "list"): Operation(
        id="listOverdueCallbacks", summary="List callbacks that are overdue", answers=ok(OVERDUE)
    ),
    (QueueViewSet, "retrieve"): Operation(
        id="getIntegrationQueue", summary="Count the rows that wait at an integration", answers=ok(QUEUE)
    ),
    (QueueViewSet, "discard"): Operation(
        id="discardIntegrationQueue",
        summary="Discard the rows that wait",
        description="Cancels their runs.",
        body=NOTHING,
        answers=ok(DISCARDED),
    ),
}
