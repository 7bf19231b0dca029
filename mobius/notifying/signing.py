"""How notifications are signed: as Mobius does (mobius-contract §9), and as Standard Webhooks beside it.

Both use the same key, the bytes that the secret's text after `whsec_` is in base64. The text holds neither `+` nor `/`
and needs no padding, so that every reader of base64 takes it, whichever alphabet it knows.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

from mobius.notifying.models import Endpoint, Notification

PREFIX = "whsec_"
_KEY_BYTES = 33  # divisible by three: no padding


def new_secret() -> str:
    """The text of a new signing secret; about 260 bits of chance."""
    while True:
        text = base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()
        if "+" not in text and "/" not in text:
            return PREFIX + text


def signed_headers(
    notification: Notification, endpoint: Endpoint, keys: Sequence[str], *, body: bytes, timestamp: int
) -> dict[str, str]:
    """The headers that go with `body`. `keys`: the texts of the valid secrets, the newest first.

    Mobius's signature has room for one and is that of the newest; Standard Webhooks' lists one for each.
    """
    decoded = [base64.b64decode(key.removeprefix(PREFIX)) for key in keys]
    mobius = hmac.new(decoded[0], b".".join([b"v1", notification.pk.encode(), str(timestamp).encode(), body]), "sha256")
    return {
        "X-Mobius-Signature": f"sha256={mobius.hexdigest()}",
        "X-Mobius-Signature-Version": "v1",
        "X-Mobius-Timestamp": str(timestamp),
        "X-Mobius-Delivery-Id": notification.pk,
        "X-Mobius-Secret-Ref": endpoint.secret_ref,
        "X-Mobius-Secret-Version": str(endpoint.secret_version),
        "X-Mobius-Event-Type": notification.event_type,
        "Idempotency-Key": notification.pk,
        "webhook-id": notification.pk,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(_standard(key, notification.pk, timestamp, body) for key in decoded),
    }


def _standard(key: bytes, id: str, timestamp: int, body: bytes) -> str:
    digest = hmac.new(key, b".".join([id.encode(), str(timestamp).encode(), body]), hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
