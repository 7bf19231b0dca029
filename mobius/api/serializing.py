"""What the bodies of `/v1` have in common: absent optionals, timestamps, and no field that nobody knows."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, overload

from rest_framework import serializers
from rest_framework.settings import api_settings

from mobius.api.parsing import json_type, quoted
from mobius.errors import InvalidFields
from mobius.tags import LONGEST_TAG_KEY, LONGEST_TAG_VALUE, MOST_TAGS, RESERVED_TAGS

_MOST_NAMED = 10
_LONGEST_NAME = 64


def without_nulls(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that have a value; nulls further inside belong to their owner and stay."""
    return {name: value for name, value in fields.items() if value is not None}


@overload
def timestamp(moment: datetime) -> str: ...
@overload
def timestamp(moment: None) -> None: ...
def timestamp(moment: datetime | None) -> str | None:
    """RFC 3339 in UTC with microseconds, such as `2026-11-24T03:14:15.123456Z`; nothing stays nothing."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise ValueError("a naive datetime names no moment")
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def known_fields(data: Mapping[str, Any], allowed: Collection[str]) -> None:
    """Raise InvalidFields naming each field of `data` that is not allowed, and what was probably meant."""
    if unknown := _unknown_fields(data, allowed):
        raise InvalidFields(unknown)


def _unknown_fields(data: Mapping[str, Any], allowed: Collection[str]) -> dict[str, list[str]]:
    strangers = [name for name in data if name not in allowed][:_MOST_NAMED]
    return {quoted(name, _LONGEST_NAME)[1:-1]: [_unknown(name, allowed)] for name in strangers}


def _unknown(name: str, allowed: Collection[str]) -> str:
    # Comparing is quadratic in the length, and a stranger chose the name.
    nearest = difflib.get_close_matches(name[:_LONGEST_NAME].lower(), allowed, n=1)
    if nearest:
        return f"There is no such field. Did you mean {quoted(nearest[0])}?"
    return f"There is no such field. Known fields: {', '.join(sorted(allowed)) or 'none'}."


def invalid_fields(detail: Any) -> InvalidFields:
    """The errors of a DRF ValidationError, one dotted path each: `steps[0].config.duration`."""
    fields: dict[str, list[str]] = {}
    for path, sentence in _sentences(detail, ""):
        fields.setdefault(path or "body", []).append(sentence)
    return InvalidFields(fields)


def _sentences(detail: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(detail, Mapping):
        for key, value in detail.items():
            yield from _sentences(value, _below(path, key))
    elif isinstance(detail, list | tuple):
        for index, value in enumerate(detail):
            # A list is either the sentences about one value, or one entry for each of its items.
            yield from _sentences(value, _below(path, index) if isinstance(value, Mapping | list) else path)
    else:
        yield path, str(detail)


def _below(path: str, key: str | int) -> str:
    if key == api_settings.NON_FIELD_ERRORS_KEY:
        return path
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else str(key)


class TagsField(serializers.DictField):
    """Tags, as `mobius.tags` has them."""

    child = serializers.CharField(max_length=LONGEST_TAG_VALUE, allow_blank=True, trim_whitespace=False)

    def to_internal_value(self, data: Any) -> dict[str, str]:
        if isinstance(data, Mapping):
            if len(data) > MOST_TAGS:
                raise serializers.ValidationError(f"Send at most {MOST_TAGS} tags.")
            for key in data:
                if not 1 <= len(key) <= LONGEST_TAG_KEY or key.startswith(RESERVED_TAGS):
                    raise serializers.ValidationError(
                        f"A tag's key has 1 to {LONGEST_TAG_KEY} characters and does not begin with “{RESERVED_TAGS}”."
                    )
        return dict(super().to_internal_value(data))


class RequestSerializer(serializers.Serializer[Any]):
    """A request body: an object with known fields only.

    A null for a field that does not take null is read as absent.
    """

    @classmethod
    def read(cls, data: Any, **kwargs: Any) -> dict[str, Any]:
        """The validated fields of `data`; raises InvalidFields."""
        body = cls(data=data, **kwargs)
        body.is_valid(raise_exception=True)
        return dict(body.validated_data)

    def is_valid(self, *, raise_exception: bool = False) -> bool:
        valid = super().is_valid(raise_exception=False)
        if raise_exception and not valid:
            raise invalid_fields(self.errors)
        return valid

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, Mapping):
            sentence = f"Send a JSON object, not {json_type(data)}."
            raise serializers.ValidationError({api_settings.NON_FIELD_ERRORS_KEY: [sentence]})
        writable = [name for name, field in self.fields.items() if not field.read_only]
        errors: dict[str, Any] = dict(_unknown_fields(data, writable))
        try:
            value = super().to_internal_value(self._without_pointless_nulls(data))
        except serializers.ValidationError as invalid:
            errors.update(invalid.detail if isinstance(invalid.detail, dict) else {})
        if errors:
            raise serializers.ValidationError(errors)
        return value

    def _without_pointless_nulls(self, data: Mapping[str, Any]) -> dict[str, Any]:
        takes_null = {name for name, field in self.fields.items() if field.allow_null}
        return {name: value for name, value in data.items() if value is not None or name in takes_null}
