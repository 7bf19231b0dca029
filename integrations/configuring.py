"""What can be set on an integration without connecting anew, and its count, which the other side knows better."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction

from integrations.connecting import current_webhook, hold, note, pacer_for, save, set_name, set_options
from integrations.forms import Options
from integrations.models import Integration, Webhook
from integrations.providers.registry import get_provider
from mobius.projects.auditing import SYSTEM, Actor

SWITCHES = ("never_twice", "deduplicates", "wait_at_limit")


@dataclass(frozen=True, kw_only=True)
class Configured:
    """What was changed: old and new value by the name of the setting."""

    integration: Integration
    changes: dict[str, tuple[object, object]]


@transaction.atomic
def configure(integration: Integration, options: Options, *, by: Actor = SYSTEM) -> Configured:
    """Set what `options` give; what they leave at None stays as it is.

    Rows per second and burst are set for the whole workspace. `submissions_used` is the other side's own count of the
    current webhook. Raises AlreadyExists when the name is taken, and Conflict when there is no webhook.
    """
    hold(integration.project_id)
    webhook = current_webhook(integration)
    before = settings_of(integration, webhook) | {"submissions_used": webhook.used}
    if options.name and options.name != integration.name:
        set_name(integration, options.name)
    provider = get_provider(integration.provider)
    integration.pacer = pacer_for(
        project=integration.project, provider=provider, options=options, integration=integration
    )
    for switch in SWITCHES:
        if (value := getattr(options, switch)) is not None:
            setattr(integration, switch, value)
    _set_budget(webhook, options)
    after = settings_of(integration, webhook) | {"submissions_used": webhook.used}
    changes = {name: (before[name], after[name]) for name in after if before[name] != after[name]}
    if changes:
        save(integration, "pacer", *SWITCHES)
        note(by, "configure", integration, changed=changes)
    return Configured(integration=integration, changes=changes)


def settings_of(integration: Integration, webhook: Webhook) -> dict[str, object]:
    """What is set now, by the names of `Options`; None where there is no limit."""
    return {
        "name": integration.name,
        "workspace": integration.pacer.label,
        "rate_per_second": integration.pacer.rate_per_second,
        "burst": integration.pacer.burst,
        "submission_limit": webhook.submission_limit,
        **{switch: getattr(integration, switch) for switch in SWITCHES},
    }


def _set_budget(webhook: Webhook, options: Options) -> None:
    """Write only what was given: the count moves while rows are sent."""
    if options.submission_limit is None and options.submissions_used is None:
        return
    held = Webhook.objects.select_for_update(no_key=True).get(pk=webhook.pk)
    set_options(held, options)
    given = {"submission_limit": options.submission_limit, "used": options.submissions_used}
    held.save(update_fields=[name for name, value in given.items() if value is not None])
    webhook.submission_limit, webhook.used = held.submission_limit, held.used
