"""What we know of outside services: integrations, their webhooks, and every row that went out."""

from __future__ import annotations

from integrations.models.connections import (
    Integration,
    IntegrationQuerySet,
    IntegrationStatus,
    KeyCheck,
    Pacer,
    Webhook,
    WebhookQuerySet,
    WebhookSecret,
    WebhookState,
)
from integrations.models.deliveries import Attempt, AttemptKind, AttemptQuerySet, AttemptState, LedgerEntry

__all__ = [
    "Attempt",
    "AttemptKind",
    "AttemptQuerySet",
    "AttemptState",
    "Integration",
    "IntegrationQuerySet",
    "IntegrationStatus",
    "KeyCheck",
    "LedgerEntry",
    "Pacer",
    "Webhook",
    "WebhookQuerySet",
    "WebhookSecret",
    "WebhookState",
]
