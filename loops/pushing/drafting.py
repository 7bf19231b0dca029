"""A file becomes a push: its rows are stored once, in batches, so that neither memory nor a lock is held for long."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from typing import IO, Any

from django.db import transaction

from integrations.models import Integration
from loops.models import Push, PushRow, PushState, RowState
from loops.pushing.mapping import Mapping
from loops.pushing.reading import LARGEST_FILE_BYTES, TOO_LARGE, ReadRow, open_table
from mobius import clock
from mobius.errors import Conflict, PayloadTooLarge
from mobius.prepared import Insert
from mobius.projects import auditing
from mobius.projects.auditing import Actor

BATCH = 500
"""Rows in one transaction: short enough for a row that wants to go out meanwhile."""
LONGEST_NAME = 200
ABANDONED_AFTER = timedelta(hours=1)
"""A push that is still being read by then was cut off: the process died. The sweep deletes it."""
_insert = Insert(PushRow)
_as_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def draft(*, integration: Integration, file: IO[bytes], name: str, size: int, by: Actor) -> Push:
    """Store the rows of `file` as a push to `integration`. Nothing is sent before it is checked and started.

    `size` is the file's, in bytes. Raises FileUnreadable, PayloadTooLarge, and Conflict for an integration that needs
    to be connected anew; nothing is stored then.
    """
    if size > LARGEST_FILE_BYTES:
        raise PayloadTooLarge(TOO_LARGE)
    if not integration.webhooks.filter(state="current").exists():
        raise Conflict(f"The integration {integration.name} has no webhook: connect it again first.")
    table = open_table(file)
    now = clock.now()
    push = Push.objects.create(
        project_id=integration.project_id,
        integration=integration,
        integration_name=integration.name,
        name=_clean(name) or "Pasted rows",
        format=table.format,
        read_as=table.read_as,
        created_by=by.name[:200],
        created_at=now,
        due_at=now + ABANDONED_AFTER,
    )
    try:
        number = _store(push, table.rows)
        _finish(push, table.columns, number, by)
    except BaseException:
        delete(push)
        raise
    return push


def delete(push: Push) -> None:
    """As if it had never been. Only before it was started."""
    while ids := list(PushRow.objects.of_push(push.pk).values_list("pk", flat=True)[:BATCH]):
        PushRow.objects.filter(pk__in=ids).delete()
    Push.objects.filter(pk=push.pk).delete()


def _store(push: Push, rows: Iterator[ReadRow]) -> int:
    """Returns how many there were."""
    stored = (_stored(push, row, number) for number, row in enumerate(rows, start=1))
    last = 0
    while batch := list(islice(stored, BATCH)):
        with transaction.atomic():
            _insert(*batch)
        last = batch[-1]["number"]
    return last


def _stored(push: Push, row: ReadRow, number: int) -> dict[str, Any]:
    bad = bool(row.problem)
    return {
        "push_id": push.pk,
        "number": number,
        "line": row.line,
        "content": _as_text(row.content),
        "unreadable": bad,
        "state": RowState.LEFT_OUT if bad else RowState.WAITING,
        "reason": row.problem[:500],
    }


@transaction.atomic
def _finish(push: Push, columns: list[str], rows: int, by: Actor) -> None:
    push.columns, push.rows, push.state = columns, rows, PushState.DRAFT
    push.mapping, push.due_at = Mapping.usual(columns).as_json(), None
    push.save(update_fields=["columns", "rows", "state", "mapping", "due_at"])
    note(push, "create", by, reason=f"{rows:,} rows for {push.integration_name}.")


def note(push: Push, deed: str, by: Actor, *, reason: str = "") -> None:
    """Write the deed down in the audit."""
    auditing.record(
        by, f"push.{deed}", project_id=push.project_id, kind="push", id=push.pk, name=push.name, reason=reason
    )


def _clean(name: str) -> str:
    """A file's name as it can be stored: without the folders that some browsers send."""
    return name.replace("\\", "/").rpartition("/")[2].replace("\x00", "").strip()[:LONGEST_NAME]
