"""Which integration does an action use? And with what connection?"""

from __future__ import annotations

from dataclasses import dataclass, field

from integrations.models import Integration, IntegrationStatus, Webhook, WebhookSecret, WebhookState
from integrations.pacing import Pace, pace_of
from integrations.providers.contract import Action, Connection, Provider
from integrations.providers.errors import NotConnected
from integrations.providers.registry import all_actions
from integrations.secrets import SecretUnreadable
from mobius.errors import NotFound
from mobius.prepared import Select


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """An action with everything that it goes out with."""

    provider: Provider
    action: Action
    integration: Integration
    webhook: Webhook
    pace: Pace | None
    connection: Connection = field(repr=False)


_current = Select(
    lambda project, provider: Webhook.objects.filter(
        integration__project=project, integration__provider=provider, state=WebhookState.CURRENT
    ).select_related("integration__pacer")
)
_secret = Select(lambda webhook: WebhookSecret.objects.filter(pk=webhook))


def choose(project_id: str, action_name: str, *, name: str = "", webhook_id: str = "") -> Chosen:
    """The integration named `name`; without a name the one named like its provider, else the only one.

    `webhook_id` names the very webhook instead, which may also be a staged one.

    Raises NotFound for an unknown action, NotConnected with the choices when none fits, and SecretUnreadable.
    """
    if action_name not in all_actions():
        raise NotFound(f"There is no action named {action_name}.")
    provider, action = all_actions()[action_name]
    for last_try in (False, True):
        if webhook_id:
            webhook = _usable(project_id, webhook_id)
        else:
            webhook = _pick(provider, _current(project_id, provider.id), name)
        try:
            connection = open_connection(webhook)
            break
        except NotConnected:  # it was connected anew between our two looks
            if last_try:
                raise
    integration = webhook.integration
    assert integration is not None  # the filter joined it
    return Chosen(
        provider=provider,
        action=action,
        integration=integration,
        webhook=webhook,
        pace=pace_of(integration.pacer),
        connection=connection,
    )


def open_connection(webhook: Webhook) -> Connection:
    """Decrypt what opens `webhook`. An unreadable secret disables its integration and raises SecretUnreadable."""
    try:
        secret = _secret.first(webhook.pk)
    except SecretUnreadable as error:
        Integration.objects.filter(pk=webhook.integration_id).update(
            status=IntegrationStatus.EXPIRED, attention=error.message
        )
        raise
    if secret is None:
        raise NotConnected("This webhook's secret was erased; connect it again.")
    return Connection(
        webhook_url=secret.url,
        auth_header_name=webhook.auth_header_name,
        auth_header_value=secret.auth_header_value,
    )


def _usable(project_id: str, webhook_id: str) -> Webhook:
    usable = Webhook.objects.usable_in(project_id).select_related("integration__pacer").filter(pk=webhook_id).first()
    if usable is None:
        raise NotConnected("This webhook is not connected any more.")
    return usable


def _pick(provider: Provider, webhooks: list[Webhook], name: str) -> Webhook:
    named = {webhook.integration.name: webhook for webhook in webhooks if webhook.integration}
    if not named:
        raise NotConnected(f"{provider.name} is not connected to this project. Connect it under Govern > Integrations.")
    if name:
        if name not in named:
            raise NotConnected(f"There is no {provider.name} integration named {name}; there is: {_list(named)}.")
        return named[name]
    if provider.id in named:
        return named[provider.id]
    if len(named) == 1:
        return next(iter(named.values()))
    raise NotConnected(
        f"Several {provider.name} integrations are connected; say which in parameters.integration: {_list(named)}."
    )


def _list(named: dict[str, Webhook]) -> str:
    return ", ".join(sorted(named))
