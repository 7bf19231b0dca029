"""What has happened to a run, in lines for people."""

from __future__ import annotations

import json
from typing import Any

from mobius.remote.printing import JsonObject, coloured, moment, plain


def as_json(event: JsonObject) -> str:
    """One line, as `jq` and log collectors take it."""
    return json.dumps(event, ensure_ascii=False)


def line_of(event: JsonObject) -> str:
    """Time (UTC), event, step, and what it tells."""
    told = " ".join(plain(said(event)).split())
    told = told if len(told) <= 200 else f"{told[:199]}…"
    time, name = moment(event["created_at"])[11:], plain(event["event_type"])
    subject, dot, status = name.rpartition(".")
    padding = " " * (17 - len(name))
    return (
        f"{time}  {subject}{dot}{coloured(status)}{padding} {plain(event.get('step_key') or ''):<12}  {told}".rstrip()
    )


def ending_of(run: JsonObject) -> str:
    """How a watched run has ended, and what can be done about a failure."""
    because = because_of(run)
    lines = [f"run {plain(run['id'])} {coloured(plain(run['status']))}{because and ' ' + plain(because)}"]
    if run["status"] == "failed":
        lines.append(f"What to do: mend the cause, then: mobius runs retry {plain(run['id'])}")
    return "\n".join(lines)


def because_of(run: JsonObject) -> str:
    """Why it is queued or has ended, in brackets, where the status alone does not say it."""
    reason = run.get("queue_reason") or run.get("stop_reason")
    return f"({reason})" if reason and reason != run["status"] else ""


def said(event: JsonObject) -> str:
    """What one event tells beyond its name, in a few words."""
    payload: JsonObject = event.get("payload") or {}
    match event["event_type"]:
        case "run.failed" | "step.failed" | "action.failed":
            return _joined(payload, "error_type", "error")
        case "action.called":
            return _joined(payload, "action")
        case "action.completed":
            return _answered(payload.get("result") or {})
        case "check.verdict":
            failed = ", ".join(map(str, payload.get("failed") or []))
            return f"{payload.get('verdict')}: {failed}" if failed else str(payload.get("verdict") or "")
        case "step.started" | "step.skipped":
            return _joined(payload, "kind", "reason")
        case "wait.opened":
            until = str(payload.get("expires_at") or "")[:19].replace("T", " ")
            waits = f"waits for {payload.get('event_type') or payload.get('wait_kind') or 'an event'}"
            return f"{waits} until {until}" if until else waits
        case "step.retried" | "action.retried" | "run.resumed":
            attempt = payload.get("attempt")
            return ", ".join(
                filter(None, [f"attempt {attempt}" if attempt else "", _joined(payload, "reason", "message", "error")])
            )
    return _joined(payload, "reason", "message")


def _joined(payload: JsonObject, *names: str) -> str:
    return ": ".join(str(payload[name]) for name in names if payload.get(name))


def _answered(result: Any) -> str:
    if not isinstance(result, dict):
        return ""
    code = result.get("status_code")
    answered = f"answered {code}" if code else ""
    return f"{answered}; was sent before, not sent again".lstrip("; ") if result.get("duplicate") else answered
