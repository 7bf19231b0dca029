"""Which actions a project can call just now, and what is missing for the others (mobius-contract §5.1)."""

from __future__ import annotations

import enum
from collections.abc import Collection
from dataclasses import dataclass

from integrations.models import IntegrationStatus, Webhook
from integrations.providers.contract import Action, Provider
from integrations.providers.registry import all_actions
from mobius.errors import NotFound
from mobius.projects.models import Project


class Missing(enum.StrEnum):
    """Why an action cannot be called: Mobius's words."""

    NOT_CONFIGURED = "not_configured"
    INACTIVE = "inactive"
    EXPIRED = "expired"
    PERMISSION = "permission_missing"


@dataclass(frozen=True, kw_only=True)
class CatalogEntry:
    name: str
    provider: Provider
    action: Action
    missing: Missing | None  # None: it is ready


def catalog_of(project: Project, *, may_call: bool) -> list[CatalogEntry]:
    """Every action, by name. `may_call`: is whoever asks allowed to call any?"""
    statuses = _statuses(project)
    return [
        CatalogEntry(
            name=name,
            provider=provider,
            action=action,
            missing=_missing(statuses.get(provider.id, set()), may_call=may_call),
        )
        for name, (provider, action) in sorted(all_actions().items())
    ]


def entry_of(project: Project, name: str, *, may_call: bool) -> CatalogEntry:
    """Raises NotFound."""
    for entry in catalog_of(project, may_call=may_call):
        if entry.name == name:
            return entry
    raise NotFound(f"There is no action named {name}.")


def _statuses(project: Project) -> dict[str, set[str]]:
    """By provider, the statuses of the integrations that have somewhere to send to."""
    found: dict[str, set[str]] = {}
    for webhook in Webhook.objects.current_in(project):
        assert webhook.integration is not None  # one that is current has its integration
        found.setdefault(webhook.integration.provider, set()).add(webhook.integration.status)
    return found


def _missing(statuses: Collection[str], *, may_call: bool) -> Missing | None:
    if not statuses:
        return Missing.NOT_CONFIGURED
    if IntegrationStatus.ACTIVE not in statuses:
        return Missing.INACTIVE if IntegrationStatus.INACTIVE in statuses else Missing.EXPIRED
    return None if may_call else Missing.PERMISSION
