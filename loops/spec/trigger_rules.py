"""What makes the triggers of a loop valid: their common shape, and the config of each kind (mobius-contract §6.1)."""

from __future__ import annotations

import re

from loops.schedules import ScheduleInvalid, read_schedule
from loops.spec.fields import Fields
from loops.spec.scopes import LONGEST_PREDICATE, Scope
from loops.spec.triggers import Concurrency, keys_of

CONCURRENCY = tuple(Concurrency)
EVENT_TYPES = ("run.completed", "run.failed", "clay.callback")
MAX_TRIGGERS = 20
MAX_KEY_LENGTH = 100
_HANDLE = re.compile(r"[A-Za-z0-9_-]{8,64}")


def check_triggers(fields: Fields) -> None:
    """Notes every fault of the loop's triggers."""
    triggers = fields.array("triggers") or []
    if len(triggers) > MAX_TRIGGERS:
        fields.fault("triggers", f"There are more than {MAX_TRIGGERS} triggers.")
        return
    keys = keys_of(triggers)
    for index, data in enumerate(triggers):
        place = f"triggers[{index}]"
        if not isinstance(data, dict):
            fields.problems.add(place, "This must be an object.")
            continue
        trigger = Fields(data, place, fields.problems)
        if keys[index] in keys[:index]:
            first = keys.index(keys[index])
            trigger.fault("key", f"triggers[{first}] has the key `{keys[index][:MAX_KEY_LENGTH]}` already.")
        _check_common(trigger)
        kind = trigger.choice("kind", list(_CHECKS))
        if kind:
            _CHECKS[kind](trigger)
        if kind == "schedule":
            _check_needs_nothing(trigger, fields)


def _check_common(trigger: Fields) -> None:
    trigger.only("kind", "key", "name", "enabled", "config", "concurrency_policy", "max_concurrent_runs")
    trigger.require("kind")
    trigger.text("key", longest=MAX_KEY_LENGTH)
    trigger.text("name", blank=True)
    trigger.boolean("enabled")
    policy = trigger.choice("concurrency_policy", CONCURRENCY)
    trigger.integer("max_concurrent_runs", low=1, high=1_000_000)
    if trigger.data.get("max_concurrent_runs") is not None and policy in (None, "allow"):
        sentence = "It needs a concurrency_policy beside it: queue, skip or replace. With allow there is no most."
        trigger.fault("max_concurrent_runs", sentence)


def _check_manual(trigger: Fields) -> None:
    if trigger.data.get("config"):
        trigger.fault("config", "A manual trigger has no config.")


def _check_http(trigger: Fields) -> None:
    config = trigger.object("config")
    if config is None:
        return
    config.only("http_handle")
    handle = config.text("http_handle")
    if handle is not None and not _HANDLE.fullmatch(handle):
        config.fault(
            "http_handle",
            "A handle has from 8 to 64 letters, digits, `_` and `-`. Whoever knows it can start runs: "
            "leave it out, and an unguessable one is made.",
        )


def _check_schedule(trigger: Fields) -> None:
    trigger.require("config")
    config = trigger.object("config")
    if config is None:
        return
    config.only("cron", "interval", "timezone")
    for name in ("cron", "interval", "timezone"):
        config.text(name)
    if any(not isinstance(value, str | None) for value in config.data.values()):
        return
    try:
        read_schedule(config.data)
    except ScheduleInvalid as error:
        config.fault(error.field, error.message)


def _check_event(trigger: Fields) -> None:
    trigger.require("config")
    config = trigger.object("config")
    if config is None:
        return
    config.only("event_type", "source_id", "condition")
    config.require("event_type")
    config.choice("event_type", EVENT_TYPES)
    config.text("source_id")
    condition = config.text("condition", longest=LONGEST_PREDICATE, blank=True)
    if condition and condition.strip():
        scope = Scope(roots=frozenset({"event", "meta"}), problems=config.problems)
        scope.check_predicate(condition, config.at("condition"))


def _check_needs_nothing(trigger: Fields, loop: Fields) -> None:
    """Nobody gives an event to a run that a clock starts."""
    declared = loop.data.get("event")
    for name, one in declared.items() if isinstance(declared, dict) else ():
        if isinstance(one, dict) and one.get("required") is True and "default" not in one:
            sentence = f"A schedule gives no event, and this loop requires event.{name}: give that a default."
            trigger.fault("kind", sentence)


_CHECKS = {"manual": _check_manual, "http": _check_http, "schedule": _check_schedule, "event": _check_event}
