"""Receivers believe us: Mobius's way to verify and the library of Standard Webhooks accept what goes over the wire.

Mobius's own client is asked in `tests/clients/test_signing.py`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone
from standardwebhooks import Webhook, WebhookVerificationError

from mobius.notifying import subscribing
from mobius.notifying.models import SigningSecret
from mobius.notifying.signing import new_secret
from mobius.projects.auditing import SYSTEM
from mobius.projects.models import Project
from tests.mobius.notifying.receiving import deliver_due, napping, play, receiver, subscribe

pytestmark = pytest.mark.django_db


def verify_as_mobius(key: bytes, headers: dict[str, str], body: bytes) -> bool:
    """What deepnoodle/mobius/signing.py of the client 0.0.61 does (mobius-contract §9)."""
    required = ("signature", "signature-version", "timestamp", "delivery-id", "secret-ref", "secret-version")
    signature, version, timestamp, delivery_id, _ref, secret_version = (headers[f"x-mobius-{one}"] for one in required)
    canonical = b".".join([b"v1", delivery_id.encode(), str(int(timestamp)).encode(), body])
    expected = f"sha256={hmac.new(key, canonical, hashlib.sha256).hexdigest()}"
    fresh = abs(int(time.time()) - int(timestamp)) <= 300
    return version == "v1" and int(secret_version) > 0 and fresh and hmac.compare_digest(signature, expected)


def test_both_verifiers_accept_what_goes_over_the_wire(project: Project, settings: Any) -> None:
    with receiver(settings) as server:
        made = subscribe(project, server, events=["run.completed"])
        run = play(napping(project))
        deliver_due()

    ((headers, body),) = server.received
    assert Webhook(made.text).verify(body, headers) == json.loads(body)
    key = base64.b64decode(made.text.removeprefix("whsec_"))
    assert verify_as_mobius(key, headers, body)
    assert not verify_as_mobius(key, headers, body + b" ")
    assert headers["x-mobius-delivery-id"] == headers["webhook-id"] == headers["idempotency-key"]
    assert headers["x-mobius-secret-ref"] == f"mobius/webhook/{made.endpoint.pk}"
    assert (headers["x-mobius-secret-version"], headers["x-mobius-event-type"]) == ("1", "run.completed")
    told = json.loads(body)
    assert set(told) == {"type", "data"}
    assert (told["type"], told["data"]["id"], told["data"]["status"]) == ("run.completed", run.pk, "completed")


def test_after_a_rotation_both_secrets_verify_for_a_day(project: Project, settings: Any) -> None:
    with receiver(settings) as server:
        first = subscribe(project, server, events=["run.completed"])
        second = subscribing.rotate_secret(first.endpoint, by=SYSTEM)
        loop = napping(project)
        play(loop)
        deliver_due()
        with time_machine.travel(timezone.now() + timedelta(hours=25), tick=True):
            play(loop)
            deliver_due()
            (_, _), (headers, body) = server.received
            assert Webhook(second.text).verify(body, headers)
            with pytest.raises(WebhookVerificationError):
                Webhook(first.text).verify(body, headers)

    headers, body = server.received[0]
    assert Webhook(first.text).verify(body, headers)
    assert Webhook(second.text).verify(body, headers)
    assert headers["x-mobius-secret-version"] == "2"
    assert verify_as_mobius(base64.b64decode(second.text.removeprefix("whsec_")), headers, body)


def test_a_third_secret_ends_the_first_at_once(project: Project) -> None:
    endpoint = subscribe(project, None).endpoint
    subscribing.rotate_secret(endpoint, by=SYSTEM)
    subscribing.rotate_secret(endpoint, by=SYSTEM)

    assert list(SigningSecret.objects.order_by("version").values_list("version", flat=True)) == [2, 3]


def test_every_reader_of_base64_reads_the_secret() -> None:
    for _ in range(50):
        text = new_secret().removeprefix("whsec_")
        assert base64.b64decode(text, validate=True) == base64.urlsafe_b64decode(text)
        assert len(base64.b64decode(text)) >= 32
        assert "=" not in text
