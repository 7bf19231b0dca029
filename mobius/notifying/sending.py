"""One attempt to deliver a notification: taken, sent with no transaction open, and written down.

At least once: an attempt that nobody wrote down, because its process died, is made again after a minute, under the same
id, by which the receiver tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Coalesce

from integrations import outbound
from integrations.judging import retry_after
from integrations.providers.contract import Exchange, Failure, OutgoingRequest
from integrations.secrets import SecretUnreadable
from mobius import clock
from mobius.atonce import WAITING_CALLS
from mobius.errors import Conflict, NotFound
from mobius.notifying.models import Endpoint, Notification, NotificationState, SigningSecret
from mobius.notifying.signing import signed_headers
from mobius.notifying.subscribing import switch_off
from mobius.notifying.telling import body_of
from mobius.projects import auditing
from mobius.projects.auditing import Actor
from mobius.redacting import REMOVED, parts_of, remember

SEND_SECONDS = 10.0
LEASE = timedelta(seconds=60)
"""An attempt that is not written down by then is taken for dead."""
PAUSES = tuple(timedelta(seconds=seconds) for seconds in (5, 30, 120, 600, 1800, 3600, 10800, 21600, 43200))
"""Before the second attempt, the third, … the tenth: about a day in all."""
MOST_ATTEMPTS = len(PAUSES) + 1
GIVEN_UP_AFTER = timedelta(days=5)
_FAILURES_AT_LEAST = 10
_KEPT_OF_AN_ANSWER = 4000
_KEPT_TRIES = 20

_WORDS = {
    Failure.UNREACHABLE: "The name does not lead to an address that may be used.",
    Failure.CONNECT: "The connection was refused.",
    Failure.CONNECT_TIMEOUT: "No connection came about within 5 seconds.",
    Failure.TLS: "The TLS certificate is not valid for this name, or the handshake failed.",
    Failure.TIMEOUT: f"No whole answer came within {SEND_SECONDS:.0f} seconds.",
    Failure.RESET: "The connection was cut before an answer came.",
    Failure.BAD_ANSWER: "What came back is not HTTP.",
    Failure.TOO_LARGE: "The answer was too long.",
}


@dataclass(frozen=True, kw_only=True)
class Ping:
    """What became of a test."""

    success: bool
    status_code: int | None
    error: str  # "" when all went well
    latency_ms: int


def claim(notification: Notification, *, now: datetime) -> bool:
    """Take the notification, which is due, for one attempt. False: somebody else was quicker."""
    due = Notification.objects.filter(pk=notification.pk, due_at=notification.due_at)
    taken = due.update(state=NotificationState.PROCESSING, attempts=F("attempts") + 1, due_at=now + LEASE)
    return bool(taken)


def take_back(*, now: datetime) -> None:
    """Every earlier process is known to be dead: what it had under way is sent again at once."""
    under_way = Notification.objects.filter(state=NotificationState.PROCESSING, due_at__isnull=False)
    under_way.update(state=NotificationState.PENDING, due_at=now)


def hold_notifications() -> None:
    """This is a copy: what was to be told is told by the original, or by a person who says so here."""
    due = Notification.objects.filter(due_at__isnull=False)
    due.update(state=NotificationState.FAILED, due_at=None, last_error="Held since a restore: redeliver it.")


def deliver(notification_id: str, _go_on: Callable[[], bool] = lambda: True) -> None:
    """Make the attempt that was claimed, and write down what came of it."""
    notification = Notification.objects.filter(pk=notification_id, state=NotificationState.PROCESSING).first()
    if notification is None:
        return
    now = clock.now()
    try:
        endpoint = Endpoint.objects.get(pk=notification.endpoint_id)
        url, secrets = _url(endpoint), _secrets(endpoint, now)
    except Endpoint.DoesNotExist:  # deleted just now, and this notification with it
        return
    except SecretUnreadable as error:
        with transaction.atomic():
            switch_off(endpoint, because=error.message, now=now)
        return
    exchange = _post(url, notification, endpoint, secrets, now)
    _record(notification, endpoint, exchange, now=clock.now())


def ping(endpoint: Endpoint, *, url: str = "", secret: str = "") -> Ping:
    """POST a test event once, to `url` or else to the endpoint's own address. Stores nothing.

    `secret`: what an endpoint is to be signed with that is not stored yet. Raises SecretUnreadable, and
    RateLimitExceeded when too many calls wait for an answer already.
    """
    now = clock.now()
    test = Notification(endpoint=endpoint, event_type="ping", body=body_of("ping", {"webhook_id": endpoint.pk}))
    keys = [secret] if secret else _secrets(endpoint, now)
    with WAITING_CALLS.one():
        exchange = _post(url or _url(endpoint), test, endpoint, keys, now)
    return Ping(
        success=exchange.accepted,
        status_code=exchange.status,
        error=_error(exchange),
        latency_ms=exchange.latency_ms,
    )


def redeliver(notification: Notification, *, by: Actor, why: str = "") -> Notification:
    """Send it again, with ten new attempts and under its own id. Raises Conflict, and NotFound."""
    with transaction.atomic():
        held = Notification.objects.select_for_update().with_endpoint().filter(pk=notification.pk).first()
        if held is None:
            raise NotFound("Somebody has deleted this webhook, and its log with it.")
        if held.due_at is not None:
            raise Conflict("This delivery is under way already.")
        if not held.endpoint.enabled:
            raise Conflict("The webhook is switched off: enable it first.")
        if not held.body:
            raise Conflict("The body of this delivery is older than bodies are kept, so it cannot be sent again.")
        held.state, held.attempts, held.due_at = NotificationState.PENDING, 0, clock.now()
        held.save(update_fields=["state", "attempts", "due_at"])
        auditing.record(
            by,
            "webhook.redeliver",
            project_id=held.project_id,
            kind="webhook",
            id=held.endpoint_id,
            name=held.endpoint.name,
            reason=f"{held.pk}. {why}" if why else held.pk,
        )
    return held


def _url(endpoint: Endpoint) -> str:
    """Raises SecretUnreadable, also when nobody could read it and it was erased."""
    if not endpoint.url:
        raise SecretUnreadable("Its address could not be read with the present key and was erased. Give it a new one.")
    return str(endpoint.url)


def _secrets(endpoint: Endpoint, now: datetime) -> list[str]:
    """Raises SecretUnreadable as above."""
    if secrets := [str(one.secret) for one in SigningSecret.objects.valid(endpoint.pk, now)]:
        return secrets
    raise SecretUnreadable("Its secret could not be read with the present key and was erased. Rotate the secret.")


def _post(url: str, notification: Notification, endpoint: Endpoint, secrets: list[str], now: datetime) -> Exchange:
    body = notification.body.encode()
    headers = signed_headers(notification, endpoint, secrets, body=body, timestamp=int(now.timestamp()))
    remember(url)
    exchange = outbound.post(
        OutgoingRequest(url=url, body=body, headers={}), own_headers=headers, timeout_seconds=SEND_SECONDS
    )
    return replace(exchange, body=_scrubbed(exchange.body, [*parts_of(url), *secrets, *_signatures(headers)]))


def _signatures(headers: Mapping[str, str]) -> list[str]:
    return [part for name, value in headers.items() if "signature" in name.lower() for part in (value, *value.split())]


def _scrubbed(answer: bytes, secrets: Iterable[str]) -> bytes:
    """The answer without what opens the address or proves us, should the far side echo it: it is stored and shown."""
    for secret in sorted(set(secrets), key=len, reverse=True):
        for spelling in (secret, secret.replace("/", "\\/")):  # JSON may escape slashes
            answer = answer.replace(spelling.encode(), REMOVED.encode())
    return answer


def _error(exchange: Exchange) -> str:
    if exchange.accepted:
        return ""
    if exchange.status is not None:
        return f"It was answered with {exchange.status}."
    return _WORDS.get(exchange.failure or Failure.CONNECT, "It could not be sent.")


@transaction.atomic
def _record(notification: Notification, endpoint: Endpoint, exchange: Exchange, *, now: datetime) -> None:
    state, due_at = _what_now(notification, exchange, now)
    error = _error(exchange)
    one_try = {
        "at": now.isoformat(timespec="milliseconds"),
        "status_code": exchange.status,
        "error": error,
        "latency_ms": exchange.latency_ms,
    }
    # The number of the attempt is the fence: whoever was given up for dead writes nothing any more.
    ours = Notification.objects.filter(
        pk=notification.pk, attempts=notification.attempts, state=NotificationState.PROCESSING
    )
    written = ours.update(
        state=state,
        due_at=due_at,
        status_code=exchange.status,
        response=exchange.body[:_KEPT_OF_AN_ANSWER].decode(errors="replace").replace("\x00", "�"),
        last_error=error,
        latency_ms=exchange.latency_ms,
        tries=[*notification.tries, one_try][-_KEPT_TRIES:],
        delivered_at=now if exchange.accepted else None,
    )
    if not written:
        return
    if exchange.accepted:
        Endpoint.objects.filter(pk=endpoint.pk, failures_in_a_row__gt=0).update(failing_since=None, failures_in_a_row=0)
    else:
        _count_failure(endpoint, exchange, error, now)


def _what_now(
    notification: Notification, exchange: Exchange, now: datetime
) -> tuple[NotificationState, datetime | None]:
    if exchange.accepted:
        return NotificationState.DELIVERED, None
    may_pass = exchange.status is None or exchange.status >= 500 or exchange.status in (408, 429)
    if not may_pass or notification.attempts >= MOST_ATTEMPTS:
        return NotificationState.FAILED, None
    asked = retry_after(exchange.headers) if exchange.status in (429, 503) else 0
    return NotificationState.PENDING, now + max(PAUSES[notification.attempts - 1], timedelta(seconds=asked))


def _count_failure(endpoint: Endpoint, exchange: Exchange, error: str, now: datetime) -> None:
    Endpoint.objects.filter(pk=endpoint.pk).update(
        failing_since=Coalesce("failing_since", now), failures_in_a_row=F("failures_in_a_row") + 1
    )
    endpoint.refresh_from_db(fields=["failing_since", "failures_in_a_row"])
    assert endpoint.failing_since is not None  # it was just written
    if exchange.status == 410:
        switch_off(endpoint, because="It answered 410 Gone: nobody wants to be told there any more.", now=now)
    elif now - endpoint.failing_since >= GIVEN_UP_AFTER and endpoint.failures_in_a_row >= _FAILURES_AT_LEAST:
        because = f"No delivery has succeeded since {endpoint.failing_since:%d %b %Y}. The last one: {error}"
        switch_off(endpoint, because=because, now=now)
