"""What the description of `/v1` says about pushes."""

from __future__ import annotations

from loops.api.pushes import FILE_TYPES, CheckSerializer, NewPushSerializer, PushViewSet
from loops.api.shapes import QUEUE
from loops.models import PushState, RowState
from loops.pushing import checking
from loops.pushing.reading import LARGEST_FILE_BYTES
from mobius.api.downloads import FORMATS
from mobius.api.operations import NOTHING, Answer, Body, Operation, ok, page_query, saved
from mobius.api.shapes import Named, array, closed, ident, mapping, moment, number, one_of, page_of, text, whole
from mobius.errors import Conflict, PayloadTooLarge

_REASON = closed(
    {
        "count": whole(1),
        "examples": array(closed({"line": whole(4), "reason": text("Its cell Email is empty.")})),
    }
)
_REPORT = closed(
    {
        "ready": whole(390, description="Rows that can be sent."),
        "reasons": mapping(
            _REASON,
            {},
            description="What stands against others, by kind: "
            + ", ".join(f"`{kind}`" for kind in (*checking.LEFT_OUT, checking.OTHER_CONTENT)),
        ),
    }
)
PUSH = Named(
    "Push",
    closed(
        {
            "id": ident("push"),
            "name": text("leads.csv", description="Of the file."),
            "state": one_of(PushState.seen(), example="running"),
            "integration": text("clay"),
            "format": one_of(FORMATS),
            "read_as": text("CSV, UTF-8, separated by commas"),
            "columns": array(text("Email")),
            "rows": whole(390),
            "keys": mapping(text("email"), {"Email": "email"}, description="The key of each column that is sent."),
            "request_id": text("Email", description="The column; empty: none."),
            "external_id": text("", description="The column; empty: none."),
            "created_by": text("me"),
            "created_at": moment(),
        },
        {
            "integration_id": ident("intg"),
            "loop_id": ident("loop", description="Every row is a run of this loop."),
            "check": _REPORT,
            "paused_because": text("25 rows in a row did not get through."),
            "started_at": moment(),
            "ended_at": moment(),
            "counts": mapping(whole(12), {"sent": 12}, description=f"Rows by state: {', '.join(RowState.values)}."),
            "seconds_left": number(36.5),
            "forecast": QUEUE,
        },
    ),
    rarely=("paused_because", "ended_at", "forecast"),
)
_ROWS = Body(shape=NewPushSerializer, example={"integration": "clay", "rows": [{"email": "ada@example.com"}]})

OPERATIONS = {
    (PushViewSet, "list"): Operation(
        id="listPushes", summary="List pushes", query=page_query(), answers=ok(page_of(PUSH))
    ),
    (PushViewSet, "create"): Operation(
        id="createPush",
        summary="Upload a file of rows",
        description="Rows as JSON, or a whole CSV or JSON Lines file of up to "
        f"{LARGEST_FILE_BYTES // 2**20} MB as the body, with "
        f"`{'`, `'.join(FILE_TYPES)}` as its type and what JSON would say in the query. Nothing is sent before it is "
        "checked and started.",
        query={
            "integration": text("clay", description="Of a file: the name or the id."),
            "name": text("leads.csv", description="Of a file: its name."),
        },
        body=_ROWS,
        answers={201: Answer(shape=PUSH, says="Stored; nothing was sent.")},
        refuses=(Conflict, PayloadTooLarge),
    ),
    (PushViewSet, "retrieve"): Operation(id="getPush", summary="Read a push, and how far it is", answers=ok(PUSH)),
    (PushViewSet, "check"): Operation(
        id="checkPush",
        summary="Map the columns and see what would happen",
        description="The dry run: judges every row and sends nothing. A column that `keys` does not name keeps its "
        "name; null leaves it out.",
        body=Body(shape=CheckSerializer, example={"keys": {}, "request_id": ""}, required=False),
        answers=ok(PUSH),
        refuses=(Conflict,),
    ),
    (PushViewSet, "start"): Operation(
        id="startPush",
        summary="Let the rows go",
        description="At the pace and within the budget, each once.",
        body=NOTHING,
        answers={202: Answer(shape=PUSH, says="Started.")},
        refuses=(Conflict,),
    ),
    (PushViewSet, "pause"): Operation(
        id="pausePush",
        summary="Start no further row",
        description="The few that are in line already go on.",
        body=NOTHING,
        answers=ok(PUSH),
        refuses=(Conflict,),
    ),
    (PushViewSet, "resume"): Operation(
        id="resumePush", summary="Go on with a paused push", body=NOTHING, answers=ok(PUSH), refuses=(Conflict,)
    ),
    (PushViewSet, "cancel"): Operation(
        id="cancelPush",
        summary="End a push",
        description="What was not sent yet never is. One that was not started is deleted.",
        body=NOTHING,
        answers=ok(PUSH),
        refuses=(Conflict,),
    ),
    (PushViewSet, "failed"): Operation(
        id="downloadFailedRows",
        summary="Save what did not arrive as a file",
        description="In the format of the file that was pushed, each row with its line and the reason. Rows in doubt "
        "are not among them.",
        answers=saved(
            csv="push_line,push_error,Email\r\n", jsonl='{"push_line":2,"push_error":"It is an empty object."}\n'
        ),
    ),
}
