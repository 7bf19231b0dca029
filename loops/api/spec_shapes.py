"""A loop as its author writes it (mobius-contract §6): the same shape going in and coming out.

The rules that no shape can say, such as which step an expression may name, are `loops.spec`'s alone.
"""

from __future__ import annotations

from typing import Any

from loops.spec import Concurrency, KeyAfterEnd, StepKind, TriggerKind
from loops.spec.fields import MAX_NAME_LENGTH
from loops.spec.loop_rules import MAX_TEXT_LENGTH
from loops.spec.step_rules import MAX_ATTEMPTS, MAX_CHECKS, MAX_STEPS, STEP_ID
from loops.spec.trigger_rules import EVENT_TYPES, MAX_KEY_LENGTH, MAX_TRIGGERS
from mobius.api.shapes import (
    TAGS,
    Named,
    Schema,
    Shape,
    anything,
    array,
    authored,
    flag,
    mapping,
    one_of,
    text,
    whole,
)

_PUSH = {"payload": {"email": "${{ event.email }}"}, "request_id": "${{ meta.run_id }}"}


def duration(example: str) -> Schema:
    return text(example, description="A Go duration such as `30s`, `5m` or `1h30m`.")


_NEEDS_NO_CONFIG = (TriggerKind.MANUAL, TriggerKind.HTTP)


def _one_kind(kind: StepKind | TriggerKind, config: Shape, **more: Shape) -> Schema:
    named = {"kind": {"const": kind.value}}
    if kind in _NEEDS_NO_CONFIG:
        return authored(named, {"config": config, **more})
    return authored({**named, "config": config}, more)


_STEP: dict[str, Shape] = {
    "id": text("push", pattern=f"^{STEP_ID}$", description="By default the step's index."),
    "name": text("Push the lead", maxLength=MAX_NAME_LENGTH),
    "if": text("event.email != ''", description="A bare expression; false skips the step."),
    "retry": authored({}, {"max_attempts": whole(3, minimum=1, maximum=MAX_ATTEMPTS), "delay": duration("30s")}),
    "timeout": authored({}, {"duration": duration("5m"), "on_timeout": one_of(["fail"])}),
}
_CONFIGS: dict[StepKind, Shape] = {
    StepKind.ACTION: authored(
        {"action_name": text("clay.webhook.submit")},
        {
            "parameters": anything(_PUSH, description="With `${{ … }}` in any text."),
            "execution_location": one_of(["managed"]),
            "environment_id": one_of([""]),
        },
    ),
    StepKind.SLEEP: authored({}, {"duration": duration("5m"), "until": text("2026-11-24T09:00:00Z")}),
    StepKind.WAIT_FOR_EVENT: authored(
        {"event_type": text("clay.callback")},
        {
            "source_id": text("push", description="The step whose callback is awaited."),
            "match": anything({"status": "done"}),
            "payload_mapping": mapping({"type": "string"}, {"score": "event.score"}),
        },
    ),
    StepKind.LOOP: authored(
        {"loop_id": text("score-lead", description="An id or a name.")},
        {"event": anything({"email": "${{ event.email }}"}), "config": anything(), "condition": {"type": "null"}},
    ),
    StepKind.CHECK: authored(
        {
            "checks": array(
                authored({"name": text("scored"), "expr": text("event.score > 5")}, {"kind": one_of(["expr"])}),
                minItems=1,
                maxItems=MAX_CHECKS,
            )
        },
        {"on_fail": one_of(["fail", "continue"]), "gate": {"type": "null"}},
    ),
}
STEP = Named("LoopSpecStep", {"oneOf": [_one_kind(kind, _CONFIGS[kind], **_STEP) for kind in StepKind]})

_TRIGGER: dict[str, Shape] = {
    "key": text("signup-form", maxLength=MAX_KEY_LENGTH, description="By default made of its kind."),
    "name": text("Sign-up form", maxLength=MAX_NAME_LENGTH),
    "enabled": flag(),
    "concurrency_policy": one_of(Concurrency, example=Concurrency.QUEUE.value),
    "max_concurrent_runs": whole(1, minimum=1),
}
_TRIGGERS: dict[TriggerKind, Shape] = {
    TriggerKind.MANUAL: authored({}),
    TriggerKind.HTTP: authored(
        {}, {"http_handle": text("k3m5tq8d2v7w4hnc", description="Secret: whoever knows it can start runs.")}
    ),
    TriggerKind.SCHEDULE: authored(
        {}, {"cron": text("0 9 * * 1-5"), "interval": duration("15m"), "timezone": text("Europe/Vienna")}
    ),
    TriggerKind.EVENT: authored(
        {"event_type": one_of(EVENT_TYPES)},
        {"source_id": text("push-leads"), "condition": text("event.score > 5")},
    ),
}
TRIGGER = Named("LoopSpecTrigger", {"oneOf": [_one_kind(kind, _TRIGGERS[kind], **_TRIGGER) for kind in TriggerKind]})

_INPUTS = mapping(
    authored({}, {"type": text("string"), "description": text("The lead."), "required": flag(), "default": {}}),
    {"email": {"type": "string", "required": True}},
)

AUTHORED: dict[str, Shape] = {
    "description": text("One row for each lead.", maxLength=MAX_TEXT_LENGTH),
    "schema_version": one_of(["1"]),
    "steps": array(STEP, maxItems=MAX_STEPS),
    "triggers": array(TRIGGER, maxItems=MAX_TRIGGERS),
    "concurrency": one_of(Concurrency),
    "event": _INPUTS,
    "config": _INPUTS,
    "default_config": anything(),
    "output": anything({"score": "${{ steps.answer.output.score }}"}),
    "limits": authored(
        {}, {"wall_clock_timeout": duration("24h"), "pause_after_consecutive_failures": whole(10, minimum=1)}
    ),
    "run_name": authored({"template": text("Lead ${{ event.email }}")}, {"description_template": text("")}),
    "settings": authored({}, {"idempotency_key_after_end": one_of(KeyAfterEnd), "callback_requires_key": flag()}),
    "tags": TAGS,
    "cleanup": array({}, maxItems=0, examples=[[]]),
    "agent_id": text("", description="Mobius's own: accepted and shown again, as the next two."),
    "repositories": array({}, examples=[[]]),
    "defaults": anything(),
}
"""Every field of a loop but its name."""

LOOP_NAME = text("push-leads", maxLength=MAX_NAME_LENGTH, description="Unique in the project; runs start by it, too.")

PUSH_LEADS: dict[str, Any] = {
    "name": "push-lead",
    "steps": [
        {
            "id": "push",
            "kind": StepKind.ACTION.value,
            "config": {"action_name": "clay.webhook.submit", "parameters": _PUSH},
            "retry": {"max_attempts": 3, "delay": "30s"},
        }
    ],
}
"""A loop that the product takes: the README's."""
