"""Which integration does an action use? And with what connection?"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from integrations.models import Integration, IntegrationStatus, Webhook, WebhookSecret, WebhookState
from integrations.pacing import Pace, pace
from integrations.providers.contract import Action, Connection, Provider
from integrations.providers.errors import NotConnected
from integrations.providers.registry import all_actions
from integrations.secrets import SecretUnreadable, decrypted, prove_key
from mobius.engine.gathering import read_again
from mobius.errors import NotFound
from mobius.prepared import Rows


@dataclass(frozen=True, kw_only=True)
class ChosenIntegration:
    """What a row needs to know of its integration."""

    pk: str
    name: str
    pacer_id: str
    usable: bool
    never_twice: bool
    deduplicates: bool


@dataclass(frozen=True, kw_only=True)
class ChosenWebhook:
    """What a row needs to know of its webhook."""

    pk: str
    destination: str


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """An action with everything that it goes out with."""

    provider: Provider
    action: Action
    integration: ChosenIntegration
    webhook: ChosenWebhook
    pace: Pace | None
    connection: Connection = field(repr=False)


class _Stored(NamedTuple):
    """What is stored of a connection and decides how a row goes out; its secrets still encrypted."""

    webhook_id: str
    destination: str
    auth_header_name: str
    integration_id: str
    name: str
    status: str
    never_twice: bool
    deduplicates: bool
    pacer_id: str
    rate_per_second: float | None
    burst: int
    url: str | None
    auth_header_value: str | None


_STORED_IN = (
    *("pk", "destination", "auth_header_name", "integration_id", "integration__name"),
    "integration__status",
    *("integration__never_twice", "integration__deduplicates", "integration__pacer_id"),
    *("integration__pacer__rate_per_second", "integration__pacer__burst"),
    *("secret__url", "secret__auth_header_value"),
)
_current = Rows(
    lambda project, provider: Webhook.objects.filter(
        integration__project=project, integration__provider=provider, state=WebhookState.CURRENT
    ).values_list(*_STORED_IN)
)
_usable = Rows(lambda project, webhook: Webhook.objects.usable_in(project).filter(pk=webhook).values_list(*_STORED_IN))


def choose(project_id: str, action_name: str, *, name: str = "", webhook_id: str = "") -> Chosen:
    """The integration whose id or name is `name`; without one that named like its provider, else the only one.

    `webhook_id` names the very webhook instead, which may also be a staged one.

    Raises NotFound for an unknown action, NotConnected with the choices when none fits, SecretUnreadable, and WrongKey.
    """
    if action_name not in all_actions():
        raise NotFound(f"There is no action named {action_name}.")
    provider, _ = all_actions()[action_name]
    rows = _usable(project_id, webhook_id) if webhook_id else _current.once(project_id, provider.id)
    picked = _pick(provider, [_Stored(*row) for row in rows], "" if webhook_id else name)
    try:
        return _open(action_name, picked)
    except SecretUnreadable as error:
        _disable(picked.integration_id, error)
        raise


@lru_cache(maxsize=256)
def _open(action_name: str, stored: _Stored) -> Chosen:
    """Everything decrypted and in place. Kept for as long as what is stored stays the same to the last letter."""
    provider, action = all_actions()[action_name]
    url = decrypted(stored.url)
    if url is None:
        raise NotConnected("This webhook's secret was erased; connect it again.")
    return Chosen(
        provider=provider,
        action=action,
        integration=ChosenIntegration(
            pk=stored.integration_id,
            name=stored.name,
            pacer_id=stored.pacer_id,
            usable=stored.status == IntegrationStatus.ACTIVE,
            never_twice=bool(stored.never_twice),
            deduplicates=bool(stored.deduplicates),
        ),
        webhook=ChosenWebhook(pk=stored.webhook_id, destination=stored.destination),
        pace=pace(stored.rate_per_second, stored.burst),
        connection=Connection(
            webhook_url=url,
            auth_header_name=stored.auth_header_name,
            auth_header_value=decrypted(stored.auth_header_value) or "",
        ),
    )


def open_connection(webhook: Webhook) -> Connection:
    """Decrypt what opens `webhook`. An unreadable secret disables its integration and raises SecretUnreadable.

    Raises WrongKey, and disables nothing, when it is this process that lacks the key.
    """
    try:
        secret = WebhookSecret.objects.filter(pk=webhook.pk).first()
    except SecretUnreadable as error:
        _disable(webhook.integration_id, error)
        raise
    if secret is None:
        raise NotConnected("This webhook's secret was erased; connect it again.")
    return Connection(
        webhook_url=secret.url,
        auth_header_name=webhook.auth_header_name,
        auth_header_value=secret.auth_header_value,
    )


def _disable(integration_id: str | None, error: SecretUnreadable) -> None:
    """Raises WrongKey when it is this process that lacks the key: then nothing is wrong with the integration."""
    prove_key()
    Integration.objects.filter(pk=integration_id).update(status=IntegrationStatus.EXPIRED, attention=error.message)
    read_again()


def _pick(provider: Provider, stored: list[_Stored], name: str) -> _Stored:
    named = {one.name: one for one in stored}
    if not named:
        raise NotConnected(f"{provider.name} is not connected to this project. Connect it under Govern > Integrations.")
    if name:
        # An id wins over another one's name: whoever gives it means that very integration.
        known = named | {one.integration_id: one for one in stored}
        if name not in known:
            raise NotConnected(f"There is no {provider.name} integration named {name}; there is: {_list(named)}.")
        return known[name]
    if provider.id in named:
        return named[provider.id]
    if len(named) == 1:
        return next(iter(named.values()))
    raise NotConnected(
        f"Several {provider.name} integrations are connected; say which in parameters.integration: {_list(named)}."
    )


def _list(named: dict[str, _Stored]) -> str:
    return ", ".join(sorted(named))
