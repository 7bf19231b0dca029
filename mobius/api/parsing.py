"""Reading a JSON body strictly: what a database, a log or another service would choke on is refused at the door.

Everything refused raises a `MobiusError` whose sentence says what is wrong and where.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from django.http import HttpRequest
from django.http.request import UnreadablePostError
from django.utils.http import parse_header_parameters
from rest_framework.parsers import BaseParser

from mobius.errors import BadRequest, PayloadTooLarge, UnsupportedMediaType

MAX_BODY_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_NODES = 10_000
MAX_DIGITS = 308
"""As far as a double reaches: nobody who reads our JSON has larger numbers."""

_UTF8_BOM = b"\xef\xbb\xbf"
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_JSON_SPACE = " \t\r\n"

_TYPE_NAMES = {dict: "an object", list: "an array", str: "a string", bool: "true or false", type(None): "null"}

_Place = tuple[Any, str | int] | None
"""Where a value sits: its parent's place and its own key. Linked, so that only an error spells out a path."""


def json_type(value: Any) -> str:
    """What JSON calls this value, with its article: "an array"."""
    return _TYPE_NAMES.get(type(value), "a number")


def quoted(text: str, longest: int = 60) -> str:
    """A stranger's text in double quotes, cut short and safe to print, for use in a sentence."""
    short = text if len(text) <= longest else text[: longest - 1] + "…"
    return json.dumps(short, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()


def parse_json(raw: bytes, *, max_bytes: int = MAX_BODY_BYTES) -> Any:
    """The value that `raw` holds; an empty body is `{}`.

    Raises PayloadTooLarge beyond `max_bytes`, and BadRequest for whatever is not plain, finite, storable JSON.
    """
    if len(raw) > max_bytes:
        raise _too_large(max_bytes)
    text = _decoded(raw)
    try:
        value = _decoder.decode(text)
    except json.JSONDecodeError as error:
        if not text.strip(_JSON_SPACE):
            return {}
        what = error.msg.removesuffix(" at").removesuffix(" starting")
        raise BadRequest(f"The body is not valid JSON: {what} at line {error.lineno}, column {error.colno}.") from None
    except RecursionError:
        raise _too_deep() from None
    if _deserves_a_look(text):
        _look_at_every_value(value)
    return value


def read_json(request: HttpRequest, *, max_bytes: int = MAX_BODY_BYTES) -> Any:
    """The JSON body of a request to a plain Django view, under the rules of every `/v1` endpoint."""
    if _declared_length(request.META) == 0:
        return {}
    require_json(request.META.get("CONTENT_TYPE", ""))
    return _read(request, request.META, max_bytes)


def require_json(content_type: str) -> None:
    """Raise UnsupportedMediaType unless this is `application/json`, in UTF-8 if it names a charset."""
    media_type, parameters = parse_header_parameters(content_type)
    if media_type != "application/json":
        raise UnsupportedMediaType
    if parameters.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        raise UnsupportedMediaType("JSON is UTF-8: leave the charset out, or send `charset=utf-8`.")


class StrictJSONParser(BaseParser):
    """`parse_json` for DRF views; its errors leave `request.data` as they are."""

    media_type = "application/json"
    max_bytes = MAX_BODY_BYTES

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        require_json(media_type or "")
        meta = parser_context["request"].META if parser_context else {}
        return _read(stream, meta, self.max_bytes)


def _read(stream: IO[Any] | HttpRequest, meta: Mapping[str, Any], max_bytes: int) -> Any:
    if _declared_length(meta) > max_bytes:
        raise _too_large(max_bytes)
    if meta.get("HTTP_CONTENT_ENCODING", "").strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType("The body is compressed: send it as it is, without Content-Encoding.")
    try:
        raw = stream.read(max_bytes + 1)
    except UnreadablePostError:
        raise BadRequest("The connection was cut before the whole body had arrived.") from None
    return parse_json(raw, max_bytes=max_bytes)


def _declared_length(meta: Mapping[str, Any]) -> int:
    try:
        return int(meta.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0


def _decoded(raw: bytes) -> str:
    if raw.startswith(_UTF8_BOM):
        raise BadRequest("The body starts with a byte order mark: send plain UTF-8 without one.")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"The body is not UTF-8: byte {error.start + 1} belongs to no character.") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise BadRequest(f"The key {quoted(twice)} stands twice in one object.")
    return fields


def _constant(word: str) -> NoReturn:
    raise BadRequest(f"{word} is not JSON: send a number, a string or null.")


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise BadRequest(f"The number {_cut(digits)} is too large: send it as a string.")
    return number


def _int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise BadRequest(f"The number {_cut(digits)} is too large: send it as a string.")
    return int(digits)


def _cut(digits: str) -> str:
    return digits if len(digits) <= 20 else digits[:20] + "…"


# Made once: json.loads with hooks would build a decoder for each body.
_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_int)


def _deserves_a_look(text: str) -> bool:
    """Whether the value may break a rule that the parser does not see; most bodies cannot, and skip the walk.

    Every value but the outermost follows a bracket or a comma, so counting those bounds depth and number.
    A NUL or a lone surrogate can only be written as an escape.
    """
    opening = text.count("[") + text.count("{")
    return (
        opening > MAX_DEPTH
        or opening + text.count(",") >= MAX_NODES
        or "\\u0000" in text
        or "\\ud" in text
        or "\\uD" in text
    )


def _look_at_every_value(root: Any) -> None:
    pending: list[tuple[Any, int, _Place]] = [(root, 1, None)]
    done = 0
    while pending:
        value, depth, place = pending.pop()
        done += 1
        if isinstance(value, str):
            _require_storable(value, place)
            continue
        if not isinstance(value, dict | list):
            continue
        if depth > MAX_DEPTH:
            raise _too_deep()
        if done + len(pending) + len(value) > MAX_NODES:
            raise BadRequest(f"The body holds more than {MAX_NODES:,} values.")
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(key, str):
                _require_storable(key, place)
            pending.append((item, depth + 1, (place, key)))


def _require_storable(text: str, place: _Place) -> None:
    if found := _UNSTORABLE.search(text):
        what = "a NUL character" if found[0] == "\x00" else "half of a surrogate pair"
        raise BadRequest(f"There is {what} in {_path(place)}, which no database can store.")


def _path(place: _Place) -> str:
    parts: list[str] = []
    while place is not None:
        place, key = place
        parts.append(f"[{key}]" if isinstance(key, int) else f".{quoted(key)[1:-1]}")
    return "".join(reversed(parts)).removeprefix(".") or "the body"


def _too_deep() -> BadRequest:
    return BadRequest(f"The body is nested more than {MAX_DEPTH} levels deep.")


def _too_large(max_bytes: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than {max_bytes // 1024} KiB, the most we take.")
