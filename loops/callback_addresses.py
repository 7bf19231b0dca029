"""The unguessable address that `${{ callback.url }}` makes for one step (design §5)."""

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


class NoPublicAddress(MobiusError):
    """`${{ callback.url }}` needs the address under which Clay reaches this console. Set MOBIUS_PUBLIC_URL."""

    code = "no_public_address"
    http_status = 409


def give_address(step: Step) -> str:
    """The callback address of `step`; the same at every call. Notes the token's hash on the step, unsaved.

    A step that has an address keeps it when a new key is put first: Clay may have it already.
    """
    if not settings.MOBIUS_PUBLIC_URL:
        raise NoPublicAddress
    keys: list[str] = settings.FIELD_ENCRYPTION_KEY
    key = next((one for one in keys if step.callback_key and key_number(one) == step.callback_key), keys[0])
    token = _token(step.pk, key)
    step.callback_hash, step.callback_key = hash_of(token), key_number(key)
    return f"{settings.MOBIUS_PUBLIC_URL}/v1/callbacks/{token}"


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
        text = re.sub(rf"{ours}[A-Za-z0-9_-]{{43}}", CALLBACK_PLACEHOLDER, text)
    return text.replace(token, CALLBACK_PLACEHOLDER) if token else text


def _token(step_id: str, key: str) -> str:
    """256 bits that only the holder of the encryption key can make, and makes the same each time."""
    derived = hmac.new(key.encode(), b"mobius: callback addresses", hashlib.sha256).digest()
    return base64.urlsafe_b64encode(hmac.new(derived, step_id.encode(), hashlib.sha256).digest()).decode().rstrip("=")
