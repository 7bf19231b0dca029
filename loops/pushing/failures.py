"""What did not arrive, as a file that can be mended and pushed again: the columns of the first one, and the reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django.http import StreamingHttpResponse

from loops.models import Push, PushRow, RowState
from loops.pushing.reading import TOLD
from loops.pushing.releasing import outcomes_of
from mobius.api.downloads import download
from mobius.api.renderers import to_json
from mobius.spreadsheets import guarded, line_writer

BATCH = 500
"""Rows held in memory at once."""


def failures_file(push: Push) -> StreamingHttpResponse:
    """Every row that is not in the table for sure. Rows in doubt are not among them: they may be there."""
    parts: Iterator[str] | Iterator[bytes] = _csv(push) if push.format == "csv" else _json_lines(push)
    return download(parts, format=push.format, name=f"failed-{push.pk}")


def failed_rows(push: Push) -> Iterator[PushRow]:
    """Rows that did not arrive, in their order. One whose run goes on, or went through later, is none."""
    last = 0
    rows = PushRow.objects.of_push(push.pk).in_states(*RowState.did_not_arrive()).exclude(content="").order_by("number")
    while batch := list(rows.filter(number__gt=last)[:BATCH]):
        outcomes = outcomes_of(row.run_id for row in batch if row.run_id)
        yield from (row for row in batch if outcomes.get(row.run_id, (row.state, ""))[0] in RowState.did_not_arrive())
        last = batch[-1].number


def _csv(push: Push) -> Iterator[str]:
    line = line_writer()
    own = [column for column in push.columns if column not in TOLD]
    kept = [place for place, column in enumerate(push.columns) if column not in TOLD]
    yield "\ufeff" + line([*TOLD[:2], *map(guarded, own)])  # Excel takes a file without the mark for Windows-1252
    for row in failed_rows(push):
        cells: list[str] = json.loads(row.content)
        whole = len(cells) == len(push.columns)
        told = [str(row.line), row.reason]
        yield line(guarded(cell) for cell in told + ([cells[place] for place in kept] if whole else cells))


def _json_lines(push: Push) -> Iterator[bytes]:
    for row in failed_rows(push):
        content = json.loads(row.content)
        told: dict[str, Any] = {TOLD[0]: row.line, TOLD[1]: row.reason}
        if isinstance(content, list):  # it could not be read: as text, to be mended by hand
            yield to_json(told | {TOLD[2]: content[0]}) + b"\n"
        else:
            yield to_json(told | {key: value for key, value in content.items() if key not in TOLD}) + b"\n"
