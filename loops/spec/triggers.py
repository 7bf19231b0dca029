"""The triggers of a valid loop, as the engine reads them."""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass
from typing import Any

from loops.spec.steps import member

JsonObject = dict[str, Any]


class TriggerKind(enum.StrEnum):
    """What makes a trigger fire."""

    MANUAL = "manual"  # a person or a client starts a run
    HTTP = "http"  # somebody calls its secret address
    SCHEDULE = "schedule"  # its time has come
    EVENT = "event"  # something happened in this console


class Concurrency(enum.StrEnum):
    """What happens to a start while an earlier run of the loop is active."""

    ALLOW = "allow"
    QUEUE = "queue"
    SKIP = "skip"
    REPLACE = "replace"


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How many runs may be active at once, and what becomes of a start beyond that."""

    concurrency: Concurrency
    max_concurrent_runs: int = 1  # means nothing with allow
    trigger_key: str = ""  # whose starts are counted; "": all runs of the loop are


@dataclass(frozen=True, kw_only=True)
class TriggerSpec:
    """One authored trigger."""

    key: str  # as authored, else made of its kind
    kind: TriggerKind
    name: str
    enabled: bool
    config: JsonObject
    policy: Policy | None  # None: the loop's


def keys_of(triggers: list[Any]) -> list[str]:
    """Every trigger's key in order: the authored one, else its kind, with a number from the second on (`http-2`)."""
    counts: Counter[str] = Counter()
    keys = []
    for trigger in triggers:
        data = trigger if isinstance(trigger, dict) else {}
        kind = str(data.get("kind"))
        counts[kind] += 1
        made = kind if counts[kind] == 1 else f"{kind}-{counts[kind]}"
        keys.append(data["key"] if isinstance(data.get("key"), str) else made)
    return keys


def read_triggers(data: JsonObject) -> tuple[TriggerSpec, ...]:
    triggers = member(data, "triggers", [])
    return tuple(_trigger(key, one) for key, one in zip(keys_of(triggers), triggers, strict=True))


def _trigger(key: str, data: JsonObject) -> TriggerSpec:
    concurrency, enabled = data.get("concurrency_policy"), member(data, "enabled", True)
    policy = Policy(
        concurrency=Concurrency(concurrency or Concurrency.ALLOW),
        max_concurrent_runs=member(data, "max_concurrent_runs", 1),
        trigger_key=key,
    )
    return TriggerSpec(
        key=key,
        kind=TriggerKind(data["kind"]),
        name=member(data, "name", ""),
        enabled=enabled,
        config=member(data, "config", {}),
        policy=policy if concurrency and enabled else None,
    )
