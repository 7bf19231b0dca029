"""What `/v1` shows of loops, runs, callbacks and waiting rows (mobius-contract §6 to §8)."""

from __future__ import annotations

from integrations.api.shapes import USAGE
from loops.api.reading import LONGEST_SOURCE, SOURCE_TYPES
from loops.api.spec_shapes import AUTHORED, LOOP_NAME
from loops.models import CallbackState, LoopStatus, RunStatus, StepStatus
from loops.models.runs import QueueReason
from loops.spec import StepKind
from mobius.api.shapes import (
    Named,
    anything,
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

_TIMES = {"created_at": moment(), "updated_at": moment()}
_UNUSUAL = ("default_config", "cleanup", "agent_id", "repositories", "defaults", "config", "output", "limits")

LOOP = Named(
    "Loop",
    closed(
        {
            "id": ident("loop"),
            "name": LOOP_NAME,
            "status": one_of(LoopStatus, example=LoopStatus.ACTIVE.value),
            **_TIMES,
        },
        {**AUTHORED, "last_run_at": moment()},
    ),
    rarely=_UNUSUAL,
)

_SOURCE = closed(
    {},
    {
        "type": one_of(SOURCE_TYPES),
        "id": text("clay", maxLength=LONGEST_SOURCE),
        "label": text("Clay", maxLength=LONGEST_SOURCE),
    },
)

RUN = Named(
    "LoopRun",
    closed(
        {
            "id": ident("run"),
            "loop_id": ident("loop"),
            "loop_version_id": ident("lver"),
            "loop_version": whole(1, minimum=1),
            "status": one_of(RunStatus, example=RunStatus.COMPLETED.value),
            **_TIMES,
        },
        {
            "loop_name": text("push-leads"),
            "name": text("Lead ada@example.com"),
            "description": text("From the sign-up form"),
            "attempt": whole(1, minimum=1, description="One more with each resume or retry."),
            "event": anything({"email": "ada@example.com"}),
            "meta": anything({"run_id": "run_01k9x3m5tq8d2v7w4hnc"}),
            "config": anything(),
            "source": anything({"type": "api", "id": "clay", "label": "Clay"}),
            "result": anything({"push": {"ok": True, "status_code": 200}}),
            "queue_reason": one_of(QueueReason),
            "stop_reason": text("completed"),
            "error_type": text("delivery_refused"),
            "error_message": text("Clay refused the row."),
            "parent_run_id": ident("run"),
            "parent_loop_id": ident("loop"),
            "parent_step_key": text("score"),
            "wake_at": moment(),
            "wall_clock_deadline_at": moment(),
            "started_at": moment(),
            "completed_at": moment(),
        },
    ),
    rarely=(
        *("description", "config", "queue_reason", "error_type", "error_message"),
        *("parent_run_id", "parent_loop_id", "parent_step_key", "wake_at", "wall_clock_deadline_at"),
    ),
)

START = Named(
    "StartLoopRunRequest",
    closed(
        {},
        {
            "event": anything({"email": "ada@example.com"}, description="Becomes `event.*`."),
            "meta": anything(),
            "config": anything(description="Over the loop's `default_config`."),
            "source": _SOURCE,
            "idempotency_key": text("clay:r_17", description="While its run is active, the same run comes back."),
            "budget_usd": number(1, description="Mobius's own: accepted and ignored, as the next."),
            "credit_budget": number(1),
        },
    ),
)

STEP_SHOWN = Named(
    "LoopRunStep",
    closed(
        {
            "id": text("run_01k9x3m5tq8d2v7w4hnc:push"),
            "run_id": ident("run"),
            "step_key": text("push"),
            "kind": one_of(StepKind),
            "status": one_of(StepStatus, example=StepStatus.COMPLETED.value),
            "seq": whole(0, minimum=0),
            "attempt": whole(1),
            "started_at": or_null(moment()),
            "completed_at": or_null(moment()),
            **_TIMES,
        },
        {
            "step_name": text("Push the lead"),
            "inputs": anything({"payload": {"email": "ada@example.com"}}, description="Rendered."),
            "parameters": anything({"payload": {"email": "${{ event.email }}"}}, description="As authored."),
            "result": {"examples": [{"ok": True, "status_code": 200}], "description": "Any JSON."},
            "error_type": text("paced", description="Of a suspended step: what it waits for."),
            "error_message": text("Clay refused the row."),
            "verdict": one_of(["pass", "fail"]),
            "verdict_detail": anything(),
        },
    ),
    rarely=("error_type", "error_message", "verdict", "verdict_detail"),
)

RUN_EVENT = Named(
    "LoopRunEvent",
    closed(
        {
            "id": text("run_01k9x3m5tq8d2v7w4hnc:evt:000004"),
            "run_id": ident("run"),
            "sequence": whole(4, minimum=1, description="Rises by one; where a stream goes on."),
            "event_type": text("action.completed"),
            "created_at": moment(),
        },
        {
            "step_id": text("run_01k9x3m5tq8d2v7w4hnc:push"),
            "step_key": text("push"),
            "payload": anything({"action": "clay.webhook.submit", "result": {"ok": True}}),
        },
    ),
)
RUN_EVENTS = Named(
    "LoopRunEventListResponse",
    items_of(RUN_EVENT, next_sequence=whole(4, minimum=0), has_more=flag(example=False)),
)
STREAM = Named(
    "LoopRunServerSentEvent",
    closed(
        {
            "id": text("4", description="The sequence: where a listener goes on."),
            "event": text("action.completed", description="The event's type."),
            "data": text(
                '{"id":"run_01k9x3m5tq8d2v7w4hnc:evt:000004"}',
                description="A LoopRunEvent as JSON.",
                contentMediaType="application/json",
            ),
        },
        description="Each event of the stream. Comments keep the connection open meanwhile.",
    ),
)

CALLED_BACK = Named(
    "CallbackReceipt",
    closed(
        {
            "ok": {"const": True},
            "callback": closed({"id": ident("cbk"), "state": one_of(CallbackState), "received_at": moment()}),
        },
        {
            "duplicate": {"const": True, "description": "These very bytes were here before."},
            "ambiguous": {"const": True, "description": "Several rows could be meant: a person must say which."},
            "warning": text("A placeholder was not filled in."),
        },
    ),
    rarely=("duplicate", "ambiguous", "warning"),
)

OVERDUE = Named(
    "OverdueCallbacks",
    items_of(
        closed(
            {
                "run_id": ident("run"),
                "loop_id": ident("loop"),
                "loop_name": text("push-leads"),
                "step_key": text("answer"),
                "source_step_key": text("push"),
                "waiting_since": moment(),
                "age_seconds": whole(7200),
            },
            {"expected_at": moment(), "usual_seconds": number(41.2), "gives_up_at": moment()},
        ),
        has_more=flag(example=False),
    ),
)

QUEUE = Named(
    "WaitingRows",
    closed(
        {"rows": whole(120), "over_budget": whole(0, description="So many more than the budget holds.")},
        {
            "usage": USAGE,
            "rate_per_second": number(9.9),
            "seconds": number(12.1, description="What sending them takes."),
        },
    ),
)
DISCARDED = closed({"discarded": whole(120, description="Runs that were cancelled.")})

ACCEPTED_CALL = Named(
    "HTTPTriggerDeliveryResult",
    closed(
        {"source_event_id": ident("sevt"), "status": one_of(["accepted"])},
        {"deduped": {"const": True, "description": "The same key came before: there is one run."}},
    ),
    rarely=("deduped",),
)
SIGNING_SECRET = closed({"signing_secret": text("<secret>", description="It is shown this once.")})

INVOCATION_STATUSES = ("success", "failed")
_INVOCATION = (
    {
        "id": ident("att"),
        "action_name": text("clay.webhook.submit"),
        "definition_scope": one_of(["platform"]),
        "source": one_of(["loop", "direct"]),
        "status": one_of(INVOCATION_STATUSES),
        "retry_count": whole(0, minimum=0),
        "delivery_id": ident("att"),
        "started_at": moment(),
        "finished_at": moment(),
    },
    {
        "http_status": whole(200, minimum=100, maximum=599),
        "output_summary": anything({"ok": True, "status_code": 200, "request_id": "req_123"}),
        "error_type": text("delivery_refused"),
        "error_message": text("Clay refused the row."),
        "run_id": ident("run"),
        "loop_id": ident("loop"),
        "step_name": text("push"),
        "job_id": ident("att"),
        "actor_principal_id": ident("svc"),
        "actor_principal_type": one_of(["service"]),
    },
)
_OF_OTHERS = ("error_type", "error_message", "job_id", "actor_principal_id", "actor_principal_type")
INVOCATION = Named("ActionInvocationEntry", closed(*_INVOCATION), rarely=_OF_OTHERS)
WHOLE_INVOCATION = Named(
    "ActionInvocationWithParameters",
    closed(_INVOCATION[0], {**_INVOCATION[1], "parameters": anything({"payload": {"email": "ada@example.com"}})}),
    rarely=_OF_OTHERS,
)
