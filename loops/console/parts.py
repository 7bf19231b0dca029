"""The run page in parts. While the run is active the browser asks which of them differ from those that it has."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from integrations.models import Attempt, AttemptState
from loops.console.attempts import ShownAttempt, shown_attempt
from loops.console.explaining import Situation, name_of, why
from loops.console.showing import PURGED, Shown, duration, shown
from loops.events import payload_of
from loops.models import Callback, Run, RunEvent, RunStatus, Step, StepStatus, SuspendedFor
from loops.retrying import is_out_of_time, why_not
from loops.spec import ActionConfig, StepKind, StepSpec
from loops.versions import spec_of
from mobius.web.states import look_of

ATTEMPTS_SHOWN = 50
CALLBACKS_SHOWN = 20
EVENTS_SHOWN = 200
LONGEST_PAYLOAD = 4_000  # characters, of one line of the log

_KINDS = {
    StepKind.ACTION: "Action",
    StepKind.SLEEP: "Sleep",
    StepKind.WAIT_FOR_EVENT: "Wait",
    StepKind.LOOP: "Start another loop",
    StepKind.CHECK: "Check",
}


@dataclass(frozen=True, kw_only=True)
class Part:
    """One piece of the page, in an element of its own that can be replaced."""

    name: str
    content: SafeString
    tag: str = "div"
    css: str = ""

    @property
    def id(self) -> str:
        return f"part-{self.name}"

    @property
    def seen(self) -> str:
        """What the browser sends back to say that it has this part as it is now."""
        return f"{self.name}:{hashlib.sha256(f'{self.css} {self.content}'.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, kw_only=True)
class ShownStep:
    """A step with what came of it; `step` is None while it is still to come."""

    spec: StepSpec
    step: Step | None
    status: str
    attempts: list[ShownAttempt] = field(default_factory=list)
    result: Shown | None = None

    @property
    def name(self) -> str:
        return name_of(self.spec)

    @property
    def kind(self) -> str:
        config = self.spec.config
        return config.action_name if isinstance(config, ActionConfig) else _KINDS[self.spec.kind]

    @property
    def reason(self) -> str:
        """Why it waits, as a state that `look_of` knows."""
        return self.step.error_type if self.step and self.status == StepStatus.SUSPENDED else ""

    @property
    def message(self) -> str:
        """What the step says of itself, unless one of its attempts, which stands below, says the same."""
        said = self.step.error_message if self.step else ""
        return "" if said in {one.sentence for one in self.attempts} else said

    @property
    def waits_at_rest(self) -> bool:
        return self.status == StepStatus.SUSPENDED and self.reason == SuspendedFor.SLEEPING

    @property
    def duration(self) -> str:
        return duration(self.step.started_at, self.step.completed_at) if self.step else ""


def parts_of(run: Run, handle: str, *, may_operate: bool) -> list[Part]:
    """Every part of the page of `run`, in the page's order, from one reading of it."""
    steps = {step.key: step for step in run.steps.all()}
    attempts = _last_attempts(run)
    situation = Situation(run=run, spec=spec_of(run.loop_version_id), steps=steps, attempts=attempts)
    return list(_parts(situation, handle, may_operate))


def _parts(situation: Situation, handle: str, may_operate: bool) -> Iterator[Part]:
    run = situation.run
    common = {"run": run, "handle": handle, "may_operate": may_operate}
    yield _part("badge", common, tag="span")
    yield _part("actions", common | {"may": _may(situation) if may_operate else {}})
    yield _part("why", common | {"why": why(situation), "active": not run.has_ended})
    for one in _steps(situation):
        tone = look_of(one.status).tone
        yield _part(f"step-{one.spec.index}", common | {"one": one}, template="step", tag="li", css=f"tone-{tone}")
    yield _part("result", common | {"result": _result(run)})
    yield _part("callbacks", common | {"callbacks": _callbacks(run)})
    yield _part("log", common | {"log": _log(situation), "most": EVENTS_SHOWN})


def _result(run: Run) -> Shown | None:
    if run.purged_at:
        return PURGED
    return shown(run.result) if run.result is not None else None


def _part(name: str, context: dict[str, Any], *, template: str = "", tag: str = "div", css: str = "") -> Part:
    content = render_to_string(f"loops/parts/{template or name}.html", context)
    return Part(name=name, content=content, tag=tag, css=css)


def _may(situation: Situation) -> dict[str, Any]:
    """What an operator can do to the run as it is; the word for going on after a failure tells whether time ran out."""
    run, step = situation.run, situation.present_step
    waits = step is not None and step.status == StepStatus.SUSPENDED and step.kind == StepKind.WAIT_FOR_EVENT
    go_on = "Resume" if is_out_of_time(run) else "Retry"
    return {
        "cancel": not run.has_ended,
        "signal": run.status == RunStatus.SUSPENDED and waits,
        "retry": "" if why_not(run) or situation.has(*AttemptState.open()) else go_on,
    }


def _last_attempts(run: Run) -> list[Attempt]:
    attempts = Attempt.objects.of_run(run.pk).with_destination().reverse()
    return list(attempts[:ATTEMPTS_SHOWN])[::-1]


def _steps(situation: Situation) -> Iterator[ShownStep]:
    to_come = StepStatus.CANCELLED if situation.run.has_ended else StepStatus.PENDING
    for spec in situation.spec.steps:
        step = situation.steps.get(spec.key)
        if step is None:
            yield ShownStep(spec=spec, step=None, status=to_come)
            continue
        yield ShownStep(
            spec=spec,
            step=step,
            status=step.status,
            attempts=[shown_attempt(one) for one in situation.attempts if one.step_id == step.pk],
            result=shown(step.result) if step.result else None,
        )


def _callbacks(run: Run) -> list[tuple[Callback, Shown]]:
    latest = list(Callback.objects.of_run(run.pk).reverse()[:CALLBACKS_SHOWN])[::-1]
    return [(callback, PURGED if callback.purged_at else shown(callback.body)) for callback in latest]


def _log(situation: Situation) -> list[tuple[RunEvent, Shown | None]]:
    run = situation.run
    latest = list(run.events.order_by("-sequence")[:EVENTS_SHOWN])[::-1]
    told = [(event, payload_of(event, run, situation.steps)) for event in latest]
    return [(event, shown(payload, longest=LONGEST_PAYLOAD) if payload else None) for event, payload in told]
