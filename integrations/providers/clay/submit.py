"""`clay.webhook.submit`: one POST makes one row (founding document, "Push rows into Clay")."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from ..callback_url import check_callback_url
from ..contract import CALLBACK_PLACEHOLDER, Connection, Exchange, JsonObject, OutgoingRequest, Row
from ..errors import ActionInputInvalid, RowTooLarge
from ..reading import json_object

LARGEST_ROW_BYTES = 100 * 1024
"""Clay refuses more (clay.md §1.1), and has answered both 400 and 413 to it, so we look before we send."""

_OPTIONAL = ("request_id", "external_id", "callback_url")
_KNOWN = ("payload", *_OPTIONAL)
_LONGEST_ID = 255

_INPUT_SCHEMA: JsonObject = {
    "type": "object",
    "required": ["payload"],
    "additionalProperties": False,
    "properties": {
        "payload": {"type": "object", "description": "The row: its top-level keys become columns."},
        "request_id": {"type": "string", "description": "Tells a repeated row from a new one, and finds its callback."},
        "external_id": {"type": "string", "description": "Your own id of the lead."},
        "callback_url": {
            "type": "string",
            "description": "Where Clay's last column posts its results.",
            "examples": [CALLBACK_PLACEHOLDER],
        },
    },
}
_OUTPUT_SCHEMA: JsonObject = {
    "type": "object",
    "required": ["ok"],
    "properties": {
        "ok": {"const": True},
        "status_code": {"type": "integer"},
        "request_id": {"type": "string"},
        "response": {"type": "object", "description": "What Clay answered, when that was a JSON object."},
        "duplicate": {"const": True, "description": "This very row was accepted before; nothing was sent."},
    },
}


@dataclass(frozen=True, kw_only=True)
class SubmitAction:
    suffix: str = "webhook.submit"
    title: str = "Push a row into Clay"
    description: str = "Creates one row in the connected Clay table."
    input_schema: JsonObject = field(default_factory=lambda: _INPUT_SCHEMA)
    output_schema: JsonObject = field(default_factory=lambda: _OUTPUT_SCHEMA)

    def read(self, parameters: JsonObject) -> Row:
        """The row: `payload`, and each of the three optional fields that is set and not already a key of it."""
        unknown = [name for name in parameters if name not in _KNOWN]
        if unknown:
            raise ActionInputInvalid(f"Unknown parameter {unknown[0]}; this action takes {', '.join(_KNOWN)}.")
        payload = parameters.get("payload")
        if isinstance(payload, str):  # what an expression made of a whole object, such as ${{ event.row }}
            found = json_object(payload.encode(errors="replace"))
            payload = payload if found is None else found
        if isinstance(payload, list):
            raise ActionInputInvalid(
                "payload is a list, but Clay puts a whole list into one row. Start one run, or write one step, per row."
            )
        if not isinstance(payload, dict):
            raise ActionInputInvalid("payload is missing or not a JSON object; its keys become the row's columns.")
        added = {name: _text(parameters, name) for name in _OPTIONAL}
        added = {name: value for name, value in added.items() if value and name not in payload}
        if "callback_url" in added:
            check_callback_url(added["callback_url"])
        row = payload | added
        return Row(payload=row, request_id=_id_of(row, "request_id"), external_id=_id_of(row, "external_id"))

    def request(self, connection: Connection, row: JsonObject) -> OutgoingRequest:
        body = json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()
        if len(body) > LARGEST_ROW_BYTES:
            raise RowTooLarge(_too_large(row, len(body)))
        headers = {"Content-Type": "application/json"}
        if connection.auth_header_name:
            headers[connection.auth_header_name] = connection.auth_header_value
        return OutgoingRequest(url=connection.webhook_url, body=body, headers=headers)

    def output(self, exchange: Exchange, request_id: str) -> JsonObject:
        output: JsonObject = {"ok": True}
        if exchange.status is not None:  # None: no answer came, but a callback proved that the row arrived
            output["status_code"] = exchange.status
        if request_id:
            output["request_id"] = request_id
        # Clay answers plain text unless its source is set to JSON: text is no error.
        answer = json_object(exchange.body)
        if answer is not None:
            output["response"] = answer
        return output


SUBMIT = SubmitAction()


def _text(parameters: JsonObject, name: str) -> str:
    value = parameters.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ActionInputInvalid(f"{name} must be text; write it in quotes.")
    return value


def _id_of(row: JsonObject, name: str) -> str:
    """The id as it goes out, also when the payload itself carries it. Only text and whole numbers can identify."""
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    text = str(value)
    if len(text) > _LONGEST_ID:
        raise ActionInputInvalid(f"{name} is longer than {_LONGEST_ID} characters.")
    return text


def _too_large(row: JsonObject, size: int) -> str:
    sizes = {key: len(json.dumps(value, ensure_ascii=False).encode()) for key, value in row.items()}
    largest = sorted(sizes, key=lambda key: sizes[key], reverse=True)[:3]
    named = ", ".join(f"{key} ({sizes[key]:,} bytes)" for key in largest)
    return (
        f"The row has {size:,} bytes; Clay takes {LARGEST_ROW_BYTES:,}. Nothing was sent. "
        f"Shorten its largest keys: {named}."
    )
