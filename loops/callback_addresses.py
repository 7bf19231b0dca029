"""The unguessable address that `${{ callback.url }}` makes for one step (design §5), or for the row of a test."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from functools import lru_cache

from django.conf import settings

from integrations.delivering import CALLBACK_PLACEHOLDER
from loops.models import Step
from mobius.errors import MobiusError

_TOKEN = 43  # characters
_TEST_PREFIX = "att_"
_TEST_ID = 20  # characters of an id after its prefix


class NoPublicAddress(MobiusError):
    """`${{ callback.url }}` needs the address under which Clay reaches this console. Set MOBIUS_PUBLIC_URL."""

    code = "no_public_address"
    http_status = 409


def give_address(step: Step) -> str:
    """The callback address of `step`; the same at every call. Notes the token's hash on the step, unsaved.

    A step that has an address keeps it when a new key is put first: Clay may have it already.
    """
    keys: list[str] = settings.FIELD_ENCRYPTION_KEY
    key = next((one for one in keys if step.callback_key and key_number(one) == step.callback_key), keys[0])
    token = _token(step.pk, key)
    address = _address(token)
    step.callback_hash, step.callback_key = hash_of(token), key_number(key)
    return address


def give_address_of_test(attempt_id: str) -> str:
    """The callback address of a test's row. Its token names the test, and proves that we made it: nothing is stored.

    Raises NoPublicAddress.
    """
    return _address(_token_of_test(attempt_id, settings.FIELD_ENCRYPTION_KEY[0]))


def tested_at(token: str) -> str:
    """The id of the test to whose address `token` belongs; "" when we never gave it out."""
    attempt_id = f"{_TEST_PREFIX}{token[:_TEST_ID]}"
    given = token.encode(errors="replace")
    made = (_token_of_test(attempt_id, key).encode(errors="replace") for key in settings.FIELD_ENCRYPTION_KEY)
    return attempt_id if any(hmac.compare_digest(one, given) for one in made) else ""


@lru_cache
def key_number(key: str) -> str:
    """What tells encryption keys apart without showing them."""
    return hashlib.sha256(f"mobius key number {key}".encode()).hexdigest()[:16]


def hash_of(token: str) -> str:
    """What is stored of a token, and found by."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def without_addresses(text: str, token: str = "") -> str:
    """`text` with `${{ callback.url }}` for every callback address of ours, and for `token`.

    Clay posts back whole rows, addresses and all, and what is stored is shown to whoever may read.
    """
    if "/v1/callbacks/" in text:
        ours = re.escape(f"{settings.MOBIUS_PUBLIC_URL}/v1/callbacks/")
        text = re.sub(rf"{ours}[A-Za-z0-9_-]{{{_TOKEN}}}", CALLBACK_PLACEHOLDER, text)
    return text.replace(token, CALLBACK_PLACEHOLDER) if token else text


def _address(token: str) -> str:
    if not settings.MOBIUS_PUBLIC_URL:
        raise NoPublicAddress
    return f"{settings.MOBIUS_PUBLIC_URL}/v1/callbacks/{token}"


def _token_of_test(attempt_id: str, key: str) -> str:
    """As long as every token: the id without its prefix, and 138 bits of the proof."""
    return f"{attempt_id.removeprefix(_TEST_PREFIX)}{_token(f'test {attempt_id}', key)}"[:_TOKEN]


def _token(step_id: str, key: str) -> str:
    """256 bits that only the holder of the encryption key can make, and makes the same each time."""
    derived = hmac.new(key.encode(), b"mobius: callback addresses", hashlib.sha256).digest()
    return base64.urlsafe_b64encode(hmac.new(derived, step_id.encode(), hashlib.sha256).digest()).decode().rstrip("=")
