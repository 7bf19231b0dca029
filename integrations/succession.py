"""The webhook that takes over when the current one is full: staged, tested, and put in its place."""

from __future__ import annotations

from django.db import transaction

from integrations.connecting import current_webhook, hold, keep_secret, note, retire, set_options, webhook_at
from integrations.forms import Options
from integrations.models import Integration, Webhook, WebhookState
from integrations.providers.contract import Connection
from integrations.providers.registry import get_provider
from mobius.engine.gathering import read_again
from mobius.errors import Conflict
from mobius.projects.auditing import SYSTEM, Actor


@transaction.atomic
def stage(integration: Integration, connection: Connection, options: Options, *, by: Actor = SYSTEM) -> Webhook:
    """Keep `connection` ready for the day when the current webhook is full; one staged before is replaced.

    It shares the current webhook's destination, so that log and ledger span both. It takes over once a test of it has
    succeeded. Raises Conflict when the address is in use, or has taken all its rows already.
    """
    hold(integration.project_id)
    current = current_webhook(integration)
    webhook = webhook_at(
        project=integration.project,
        provider=get_provider(integration.provider),
        integration=integration,
        url=connection.webhook_url,
    )
    if webhook.pk == current.pk:
        raise Conflict("Rows go to this webhook already. Make another one, and paste its URL.")
    set_options(webhook, options)
    if webhook.full:
        raise Conflict(
            f"This webhook has taken all of its {webhook.submission_limit:,} rows already. Make a new one, "
            "or give its right count and limit under Options."
        )
    before = Webhook.objects.staged_for(integration)
    if before is not None and before.pk != webhook.pk:
        retire([before.pk])
    webhook.integration, webhook.state = integration, WebhookState.STAGED
    webhook.destination = current.destination
    webhook.last_success_at = None  # what it took in an earlier life proves nothing about this header
    keep_secret(webhook, connection)
    note(by, "stage_successor", integration, changed=["webhook_url", "auth_header_name", "auth_header_value"])
    return webhook


@transaction.atomic
def unstage(integration: Integration, *, by: Actor = SYSTEM) -> None:
    """Remove the staged webhook, and erase its secret. Its count stays. Raises Conflict when there is none."""
    hold(integration.project_id)
    in_line = {webhook.state: webhook for webhook in Webhook.objects.in_line(integration.pk)}
    staged = in_line.get(WebhookState.STAGED)
    if staged is None:
        raise Conflict("There is no successor. Perhaps it has taken over in this moment.")
    retire([staged.pk])
    note(by, "remove_successor", integration)


def follows(webhook_id: str) -> bool:
    """Has another webhook taken over the rows of this one, or is one ready to?"""
    webhook = Webhook.objects.get(pk=webhook_id)
    others = Webhook.objects.filter(integration_id=webhook.integration_id, destination=webhook.destination)
    return any(other.ready or other.state == WebhookState.CURRENT for other in others.exclude(pk=webhook.pk))


def take_over(webhook_id: str) -> bool:
    """Let the tested successor take the place of a webhook that is full. In the caller's transaction.

    True when another webhook takes its rows from now on, also when it did so already. Two UPDATEs: that an integration
    has one current webhook is checked row by row, so the old one must step back first.
    """
    webhook = Webhook.objects.get(pk=webhook_id)
    in_line = {one.state: one for one in Webhook.objects.in_line(webhook.integration_id)}
    current, staged = in_line.get(WebhookState.CURRENT), in_line.get(WebhookState.STAGED)
    if current is None or current.pk != webhook.pk:
        return current is not None and current.destination == webhook.destination
    if staged is None or not staged.ready:
        return False
    retire([current.pk])
    Webhook.objects.filter(pk=staged.pk).update(state=WebhookState.CURRENT)
    integration = Integration.objects.get(pk=staged.integration_id)
    read_again()
    note(SYSTEM, "take_over", integration, reason=f"{current.masked_url} is full; rows go to {staged.masked_url} now.")
    return True
