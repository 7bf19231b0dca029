"""What a project automates: loops, their frozen versions, and the runs of them with everything that happened."""

from __future__ import annotations

from loops.models.bulk import BulkDeed, BulkJob, BulkState
from loops.models.callbacks import Callback, CallbackQuerySet, CallbackState
from loops.models.loops import Loop, LoopStatus, LoopVersion
from loops.models.processes import Chore, Worker
from loops.models.pushes import Push, PushRow, PushState, RowState
from loops.models.runs import RING_AGAIN_AFTER, QueueReason, Run, RunEvent, RunQuerySet, RunStatus
from loops.models.steps import Step, StepStatus, SuspendedFor, Wait, WaitState
from loops.models.triggers import SourceEvent, SourceEventState, Trigger, TriggerSecret

__all__ = [
    "RING_AGAIN_AFTER",
    "BulkDeed",
    "BulkJob",
    "BulkState",
    "Callback",
    "CallbackQuerySet",
    "CallbackState",
    "Chore",
    "Loop",
    "LoopStatus",
    "LoopVersion",
    "Push",
    "PushRow",
    "PushState",
    "QueueReason",
    "RowState",
    "Run",
    "RunEvent",
    "RunQuerySet",
    "RunStatus",
    "SourceEvent",
    "SourceEventState",
    "Step",
    "StepStatus",
    "SuspendedFor",
    "Trigger",
    "TriggerSecret",
    "Wait",
    "WaitState",
    "Worker",
]
