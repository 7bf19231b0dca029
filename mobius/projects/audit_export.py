"""The audit as JSON and as a file: streamed in batches, so that its size does not matter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.http import StreamingHttpResponse

from mobius.api.downloads import download
from mobius.api.renderers import to_json
from mobius.api.serializing import timestamp
from mobius.projects.audit_models import AuditEvent, AuditEventQuerySet
from mobius.spreadsheets import harmless, line_writer

BATCH = 500
"""Lines held in memory at once."""

COLUMNS = (
    *("id", "created_at", "actor_kind", "actor_id", "actor_name", "ip"),
    *("action", "object_kind", "object_id", "object_name", "changed", "reason"),
)


def audit_json(event: AuditEvent) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": event.pk,
        "action": event.action,
        "actor": {"kind": event.actor_kind, "name": event.actor_name} | _texts(id=event.actor_id, ip=event.ip),
        "object": {"kind": event.object_kind, "id": event.object_id} | _texts(name=event.object_name),
        "changed": event.changed,
        "created_at": timestamp(event.created_at),
    }
    return shown | _texts(reason=event.reason)


def export(events: AuditEventQuerySet, *, format: str, name: str) -> StreamingHttpResponse:
    """A file to save, named `name`; `format` is one of FORMATS. Oldest line first; what is written meanwhile is not in
    it."""
    parts: Iterator[str] | Iterator[bytes] = _csv(events) if format == "csv" else _json_lines(events)
    return download(parts, format=format, name=name)


def in_batches(events: AuditEventQuerySet) -> Iterator[list[AuditEvent]]:
    """All of them, oldest first, one statement for each batch."""
    last, events = "", events.as_of_now().order_by("id")
    while batch := list(events.filter(id__gt=last)[:BATCH]):
        yield batch
        last = batch[-1].pk


def _csv(events: AuditEventQuerySet) -> Iterator[str]:
    line = line_writer()
    yield line(COLUMNS)
    for batch in in_batches(events):
        yield "".join(line(harmless(cell) for cell in _cells(event)) for event in batch)


def _cells(event: AuditEvent) -> list[str]:
    shown = {"created_at": timestamp(event.created_at), "changed": " ".join(event.changed)}
    return [str(shown.get(name, getattr(event, name))) for name in COLUMNS]


def _json_lines(events: AuditEventQuerySet) -> Iterator[bytes]:
    for batch in in_batches(events):
        yield b"".join(to_json(audit_json(event)) + b"\n" for event in batch)


def _texts(**texts: str) -> dict[str, str]:
    """Those that say anything."""
    return {name: text for name, text in texts.items() if text}
