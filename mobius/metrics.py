"""`/metrics`: what a Prometheus server asks for, in its text format, of one project or of the whole console.

Nothing here counts a whole table: active runs, waiting rows and doubts have indexes that hold nothing else, and what
has ended is looked at for the last five minutes, at most the latest 2,000. A count that is as high as it goes says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, QuerySet

from integrations.models import Attempt, Integration, Webhook
from loops import workers
from loops.awaiting import overdue_in
from loops.models import Callback, Push, PushRow, PushState, Run, RunStatus
from mobius import clock
from mobius.api.requests import throttled
from mobius.ids import first_id
from mobius.projects.models import Project

RECENT = timedelta(minutes=5)
_MOST_RECENT = 2_000
_MOST_COUNTED = 25_000
_MOST_DOUBTS = 1_000  # each is looked at in the table
_CALLBACKS = 200
_OVERDUE = 100
_READY = 500
_QUANTILES = (0.5, 0.95, 1.0)

_HELP = {
    "mobius_runs": "Runs that have not ended, by status; counted up to 25,000.",
    "mobius_recent_runs": "Runs started in the last 5 minutes, by status; at most 2,000 of each.",
    "mobius_ready_oldest_seconds": "For how long the oldest run waits that a worker could take.",
    "mobius_queue_rows": "Rows that wait to go out through an integration; counted up to 25,000.",
    "mobius_queue_oldest_seconds": "For how long the oldest of them waits.",
    "mobius_push_rows": "Rows of pushes that run or are paused, which were not started yet; counted up to 25,000.",
    "mobius_integration_active": "1 while rows go out through the integration, 0 while it is paused, held or broken.",
    "mobius_recent_attempts": "Attempts of the last mobius_recent_seconds, by outcome and HTTP status.",
    "mobius_recent_seconds": "Which time mobius_recent_attempts covers: 300, or less when there were more than 2,000.",
    "mobius_recent_429_ratio": "The share of the recent attempts that was answered with 429.",
    "mobius_in_doubt": "Rows in doubt, which wait for a person; counted up to 1,000.",
    "mobius_budget_left": "Rows that the webhook still takes; absent without a limit.",
    "mobius_budget_used": "Rows that the webhook has taken, those in doubt included.",
    "mobius_callback_latency_seconds": "From a row's first attempt to its callback, of the latest 200 callbacks.",
    "mobius_callbacks_overdue": "Callbacks that should have come by now; 100 means 100 or more.",
    "mobius_workers": "Worker processes that are alive (the distributed engine).",
    "mobius_throttled_requests_total": "Requests that this process has answered with 429 since it started.",
}
_COUNTERS = {"mobius_throttled_requests_total"}


@dataclass(frozen=True)
class Sample:
    name: str
    value: float
    labels: dict[str, str] = field(default_factory=dict)


def of_project(project: Project) -> Iterator[Sample]:
    """What is known of one project."""
    now = clock.now()
    ours = (*_runs(project, now), *_queues(project, now), *_pushes(project))
    for sample in (*ours, *_attempts(project, now), *_callbacks(project, now)):
        yield Sample(sample.name, sample.value, {"project": project.handle} | sample.labels)


def of_console() -> Iterator[Sample]:
    """What is known of every project, and of the console itself."""
    for project in Project.objects.all():
        yield from of_project(project)
    yield Sample("mobius_workers", workers.alive())
    yield Sample("mobius_throttled_requests_total", throttled())


def text_of(samples: Iterable[Sample]) -> str:
    """The samples in Prometheus's text format, version 0.0.4."""
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.name, []).append(sample)
    lines = []
    for name, found in by_name.items():
        lines += [f"# HELP {name} {_HELP[name]}", f"# TYPE {name} {'counter' if name in _COUNTERS else 'gauge'}"]
        lines += [f"{name}{_labels(sample.labels)} {sample.value:.12g}" for sample in found]
    return "\n".join(lines) + "\n"


def _labels(labels: dict[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}" if labels else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _runs(project: Project, now: datetime) -> Iterator[Sample]:
    runs, since = Run.objects.of_project(project), first_id("run", now - RECENT)
    for status in RunStatus.active():
        yield Sample("mobius_runs", _count(runs.in_status(status), _MOST_COUNTED), {"status": status.value})
    for status in RunStatus:
        recent = runs.in_status(status).filter(pk__gte=since)
        yield Sample("mobius_recent_runs", _count(recent, _MOST_RECENT), {"status": status.value})
    # Runs that their loop's policy holds back stand among them, and nobody is to take those.
    oldest = runs.in_status(RunStatus.QUEUED).order_by("pk").values_list("created_at", "queue_reason")[:_READY]
    ready = [created_at for created_at, reason in oldest if not reason]
    yield Sample("mobius_ready_oldest_seconds", _age(min(ready, default=None), now))


def _queues(project: Project, now: datetime) -> Iterator[Sample]:
    for integration in Integration.objects.filter(project=project).order_by("pk"):
        labels = {"integration": integration.name}
        queue = Run.objects.standing_at(integration.pk)
        yield Sample("mobius_queue_rows", _count(queue, _MOST_COUNTED), labels)
        oldest = queue.order_by("waits_since").values_list("waits_since", flat=True).first()
        yield Sample("mobius_queue_oldest_seconds", _age(oldest, now), labels)
        yield Sample("mobius_integration_active", integration.usable, labels)
    for webhook in Webhook.objects.current_in(project):
        labels = {"integration": webhook.integration.name if webhook.integration else ""}
        yield Sample("mobius_budget_used", webhook.used, labels)
        if webhook.submission_limit is not None:
            left = max(webhook.submission_limit - webhook.used - webhook.in_flight, 0)
            yield Sample("mobius_budget_left", left, labels)


def _pushes(project: Project) -> Iterator[Sample]:
    for state in (PushState.RUNNING, PushState.PAUSED):
        pushes = Push.objects.of_project(project).in_state(state).values("pk")
        waiting = PushRow.objects.filter(push__in=pushes).waiting()
        yield Sample("mobius_push_rows", _count(waiting, _MOST_COUNTED), {"push": state.value})


def _attempts(project: Project, now: datetime) -> Iterator[Sample]:
    mine = Attempt.objects.of_project(project)
    yield Sample("mobius_in_doubt", _count(mine.in_doubt(), _MOST_DOUBTS))
    latest = mine.filter(pk__gte=first_id("att", now - RECENT)).order_by("-pk").values("pk")[:_MOST_RECENT]
    by_outcome = Attempt.objects.filter(pk__in=latest).order_by().values_list("state", "status_code")
    counts = list(by_outcome.annotate(Count("pk")))
    total = sum(count for *_, count in counts)
    for state, status_code, count in counts:
        yield Sample("mobius_recent_attempts", count, {"outcome": state, "status_code": str(status_code or "")})
    refused = sum(count for _, status_code, count in counts if status_code == 429)
    yield Sample("mobius_recent_429_ratio", refused / total if total else 0)
    seconds = RECENT.total_seconds()
    if total == _MOST_RECENT:
        first = mine.order_by("-pk").values_list("created_at", flat=True)[_MOST_RECENT - 1]
        seconds = min(_age(first, now), seconds)
    yield Sample("mobius_recent_seconds", seconds)


def _callbacks(project: Project, now: datetime) -> Iterator[Sample]:
    latest = Callback.objects.of_project(project).order_by("-pk").exclude(step_id="")
    arrived = list(latest.values_list("run_id", "step_id", "received_at")[:_CALLBACKS])
    sent = Attempt.objects.filter(run_id__in={run_id for run_id, *_ in arrived}).order_by("-pk")
    first_sent = dict(sent.values_list("step_id", "created_at"))  # the earliest comes last, and stays
    took = sorted(
        max((received_at - first_sent[step_id]).total_seconds(), 0.0)
        for _, step_id, received_at in arrived
        if step_id in first_sent
    )
    for quantile in _QUANTILES if took else ():
        value = took[max(math.ceil(len(took) * quantile) - 1, 0)]
        yield Sample("mobius_callback_latency_seconds", value, {"quantile": f"{quantile:g}"})
    yield Sample("mobius_callbacks_overdue", len(overdue_in(project, now=now, most=_OVERDUE).items))


def _count(found: QuerySet[Any, Any], most: int) -> int:
    return found.order_by()[:most].count()


def _age(moment: datetime | None, now: datetime) -> float:
    return max((now - moment).total_seconds(), 0.0) if moment else 0.0
