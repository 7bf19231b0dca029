"""Endpoints: made, changed, given another secret, switched off, deleted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.views.decorators.debug import sensitive_variables

from integrations.addresses import UnsafeUrl, read_url
from integrations.secrets import SecretUnreadable
from mobius import clock
from mobius.engine.sqlite3.erasing import erase_after_commit
from mobius.errors import AlreadyExists, Conflict, InvalidFields, NotFound
from mobius.notifying.interest import note_change
from mobius.notifying.models import Endpoint, Notification, NotificationState, SigningSecret
from mobius.notifying.signing import new_secret
from mobius.projects import auditing
from mobius.projects.auditing import SYSTEM, Actor
from mobius.projects.models import Project

EVENT_TYPES = (
    *("run.started", "run.resumed", "run.completed", "run.failed", "run.cancelled"),
    *("alert.opened", "alert.worsened", "alert.closed"),
)
ALL_OF_A_KIND = ("run.*", "alert.*")
OVERLAP = timedelta(hours=24)
"""So long the former secret signs on after a rotation."""
MOST_ENDPOINTS = 100
"""In a project, switched off ones included: each is told of everything that it wants to hear, by a POST of its own."""
SWITCHED_OFF = "The webhook was switched off before this was delivered. Redeliver it once the webhook is on again."


class WebhookLimitReached(Conflict):
    """The project has as many webhooks as it may have: delete one that is not needed."""

    code = "webhook_limit_reached"


@dataclass(frozen=True, kw_only=True)
class NewSecret:
    """An endpoint whose secret was just made: the only moment at which it is shown."""

    endpoint: Endpoint
    text: str = field(repr=False)


@sensitive_variables("secret", "url")
def create_endpoint(
    *,
    project: Project,
    name: str,
    url: str = "",
    events: Iterable[str] = (),
    enabled: bool = True,
    tags: dict[str, str] | None = None,
    secret: str = "",
    by: Actor,
) -> NewSecret:
    """A new endpoint. `secret`: the text it was pinged with before.

    Raises InvalidFields, AlreadyExists, and WebhookLimitReached.
    """
    now, text = clock.now(), secret or new_secret()
    endpoint = Endpoint(project=project, created_at=now, updated_at=now, created_by=by.name, tags=tags or {})
    _set(endpoint, name=name, url=url, events=list(events), enabled=enabled)
    with _unique_name(endpoint), transaction.atomic():
        _demand_room(project)
        endpoint.save(force_insert=True)
        SigningSecret.objects.create(endpoint=endpoint, version=1, secret=text, created_at=now)
        note_change()
        _note(by, "create", endpoint)
    return NewSecret(endpoint=endpoint, text=text)


def update_endpoint(endpoint: Endpoint, changes: dict[str, Any], *, by: Actor) -> Endpoint:
    """Write the fields that are given. The same again changes nothing. Raises InvalidFields, and AlreadyExists.

    Switched off, it hears of nothing, and what was still to be sent is given up; on again, its failures are forgotten.
    """
    with _unique_name(endpoint), transaction.atomic():
        _hold(endpoint)
        before = _values(endpoint, changes)
        _set(endpoint, **{name: value for name, value in changes.items() if name != "tags"})
        endpoint.tags = changes.get("tags", endpoint.tags)
        changed = [name for name, value in _values(endpoint, changes).items() if value != before[name]]
        if not changed:
            return endpoint
        endpoint.updated_at, endpoint.updated_by = clock.now(), by.name
        if changes.get("enabled") is False:
            _give_up(endpoint)
        if changes.get("enabled"):
            endpoint.disabled_because, endpoint.failing_since, endpoint.failures_in_a_row = "", None, 0
        endpoint.save()
        if "url" in changed:
            erase_after_commit()
        note_change()
        _note(by, "update", endpoint, changed=changed)
    return endpoint


@transaction.atomic
def delete_endpoint(endpoint: Endpoint, *, by: Actor) -> None:
    """Its log goes with it. Raises NotFound."""
    _hold(endpoint)
    _note(by, "delete", endpoint)
    endpoint.delete()
    erase_after_commit()
    note_change()


@transaction.atomic
def rotate_secret(endpoint: Endpoint, *, by: Actor) -> NewSecret:
    """A new secret signs from now on; the former one signs beside it for a day, and older ones no more."""
    _hold(endpoint)
    now, text = clock.now(), new_secret()
    SigningSecret.objects.filter(endpoint=endpoint, version__lt=endpoint.secret_version).delete()
    erase_after_commit()
    SigningSecret.objects.filter(endpoint=endpoint).update(expires_at=now + OVERLAP)
    endpoint.secret_version += 1
    endpoint.updated_at, endpoint.updated_by = now, by.name
    endpoint.save(update_fields=["secret_version", "updated_at", "updated_by"])
    SigningSecret.objects.create(endpoint=endpoint, version=endpoint.secret_version, secret=text, created_at=now)
    _note(by, "rotate", endpoint)
    return NewSecret(endpoint=endpoint, text=text)


def checked_url(url: str) -> str:
    """The address as it is used. Raises InvalidFields when there is none, or none that may be used."""
    if not url:
        raise InvalidFields({"url": ["Give the address that is to be told."]})
    try:
        return read_url(url).url
    except UnsafeUrl as error:
        raise InvalidFields({"url": [error.message]}) from None


def switch_off(endpoint: Endpoint, *, because: str, now: datetime) -> None:
    """The console itself gives the endpoint up. In the caller's transaction."""
    if not Endpoint.objects.filter(pk=endpoint.pk, enabled=True).update(
        enabled=False, disabled_because=because[:300], updated_at=now
    ):
        return
    _give_up(endpoint)
    note_change()
    _note(SYSTEM, "switch_off", endpoint, reason=because)


def _demand_room(project: Project) -> None:
    """The project's row is held until the new endpoint is there: of two who ask for the last place one gets it."""
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    if Endpoint.objects.of_project(project).count() >= MOST_ENDPOINTS:
        raise WebhookLimitReached(
            f"This project has {MOST_ENDPOINTS} webhooks, which is as many as it may have: "
            "delete one that is not needed, or let one webhook hear of more events."
        )


def _hold(endpoint: Endpoint) -> None:
    """Read it again, its row held until the transaction ends. Raises NotFound."""
    try:
        endpoint.refresh_from_db(from_queryset=Endpoint.objects.select_for_update())
    except Endpoint.DoesNotExist:
        raise NotFound("Somebody has deleted this webhook meanwhile.") from None


def _give_up(endpoint: Endpoint) -> None:
    unfinished = Notification.objects.unfinished(endpoint.pk)
    unfinished.update(state=NotificationState.FAILED, due_at=None, last_error=SWITCHED_OFF)


def _values(endpoint: Endpoint, names: Iterable[str]) -> dict[str, Any]:
    """What these fields hold. An address that cannot be read any more differs from every other."""
    values = {name: getattr(endpoint, name) for name in names if name != "url"}
    if "url" in names:
        try:
            values["url"] = endpoint.url
        except SecretUnreadable:
            values["url"] = None
    return values


def _set(endpoint: Endpoint, **fields: Any) -> None:
    problems: dict[str, list[str]] = {}
    if "name" in fields and not fields["name"].strip():
        problems["name"] = ["Give the webhook a name, such as the system that it tells."]
    unknown = [one for one in fields.get("events", ()) if one not in (*EVENT_TYPES, *ALL_OF_A_KIND)]
    if unknown:
        known = ", ".join((*EVENT_TYPES, *ALL_OF_A_KIND))
        problems["events"] = [f"There is no event `{unknown[0][:60]}`; there are {known}."]
    if "url" in fields:
        try:
            _set_url(endpoint, fields["url"].strip())
        except UnsafeUrl as error:
            problems["url"] = [error.message]
    if problems:
        raise InvalidFields(problems)
    for name in fields.keys() & {"name", "enabled", "events"}:
        setattr(endpoint, name, fields[name].strip() if name == "name" else fields[name])


def _set_url(endpoint: Endpoint, url: str) -> None:
    """Raises UnsafeUrl."""
    target = read_url(url) if url else None
    endpoint.url = target.url if target else ""  # type: ignore[assignment]  # the library has no types
    endpoint.url_shown = f"{target.scheme}://{target.host}/…{target.path[-4:].lstrip('/')}" if target else ""


@contextmanager
def _unique_name(endpoint: Endpoint) -> Iterator[None]:
    """The database says whether the name is taken."""
    try:
        yield
    except IntegrityError:
        raise AlreadyExists(f"There is a webhook named “{endpoint.name}” already; choose another name.") from None


def _note(by: Actor, deed: str, endpoint: Endpoint, *, changed: Iterable[str] = (), reason: str = "") -> None:
    auditing.record(
        by,
        f"webhook.{deed}",
        project_id=endpoint.project_id,
        kind="webhook",
        id=endpoint.pk,
        name=endpoint.name,
        changed=changed,
        reason=reason,
    )
