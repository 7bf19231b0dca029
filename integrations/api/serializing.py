"""Integrations, providers and tests as `/v1` shows them. No secret passes here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from integrations.configuring import settings_of
from integrations.models import Attempt, Integration, Webhook, WebhookState
from integrations.probing import Probe
from integrations.providers.contract import Action, Provider
from integrations.usage import Usage, usage_of, usage_of_each
from mobius import clock
from mobius.api.serializing import timestamp, without_nulls

JsonObject = dict[str, Any]


def integration_json(integration: Integration, *, webhook_url: str = "") -> JsonObject:
    """`webhook_url` is echoed to the admin who just gave it; everybody else sees it masked."""
    return integrations_json([integration], webhook_url=webhook_url)[0]


def integrations_json(integrations: list[Integration], *, webhook_url: str = "") -> list[JsonObject]:
    """Many integrations in a fixed number of queries."""
    by_place = Webhook.objects.by_place(integrations)
    usages = usage_of_each(list(by_place.values()), now=clock.now())
    return [
        _integration_json(
            one,
            by_place.get((one.pk, WebhookState.CURRENT)),
            by_place.get((one.pk, WebhookState.STAGED)),
            usages,
            webhook_url,
        )
        for one in integrations
    ]


def _integration_json(
    integration: Integration,
    webhook: Webhook | None,
    staged: Webhook | None,
    usages: Mapping[str, Usage],
    webhook_url: str,
) -> JsonObject:
    shown: JsonObject = {
        "id": integration.pk,
        "name": integration.name,
        "provider": integration.provider,
        "status": integration.status,
        "config": _config(integration, webhook, webhook_url),
        "created_at": timestamp(integration.created_at),
        "updated_at": timestamp(integration.updated_at),
    }
    if webhook is not None:
        shown["usage"] = usage_json(usages[webhook.pk])
        shown["settings"] = {name: value for name, value in settings_of(integration, webhook).items() if name != "name"}
    if staged is not None:
        shown["successor"] = _successor(staged, usages[staged.pk])
    for name in ("created_by", "tags"):
        if value := getattr(integration, name):
            shown[name] = value
    return shown


def successor_json(webhook: Webhook) -> JsonObject:
    """A staged webhook. Its URL is masked."""
    return _successor(webhook, usage_of(webhook, now=clock.now()))


def _successor(webhook: Webhook, usage: Usage) -> JsonObject:
    shown: JsonObject = {"webhook_url": webhook.masked_url, "ready": webhook.ready, "usage": usage_json(usage)}
    if webhook.auth_header_name:
        shown["auth_header_name"] = webhook.auth_header_name
    return shown


def usage_json(usage: Usage) -> JsonObject:
    return {
        "used": usage.used,
        "possibly_used": usage.possibly_used,
        "in_flight": usage.in_flight,
        "limit": usage.limit,
        "left": usage.left,
        "forecast_at": timestamp(usage.forecast_at),
    }


def delivery_json(attempt: Attempt) -> JsonObject:
    """One attempt, as in a list of deliveries."""
    shown: JsonObject = {
        "id": attempt.pk,
        "kind": attempt.kind,
        "state": attempt.state,
        "action_name": attempt.action,
        "attempt": attempt.number,
        "integration_id": attempt.integration_id,
        "status_code": attempt.status_code,
        "latency_ms": attempt.latency_ms,
        "created_at": timestamp(attempt.created_at),
        "finished_at": timestamp(attempt.finished_at),
    }
    for name in ("run_id", "request_id", "external_id", "failure", "error_message"):
        if text := getattr(attempt, name):
            shown[name] = text
    return without_nulls(shown)


def whole_delivery_json(attempt: Attempt) -> JsonObject:
    """One attempt with what was sent and answered. A callback's address is a placeholder in it."""
    bodies = {"body": attempt.body or None, "response": attempt.response or None}
    return delivery_json(attempt) | without_nulls(bodies)


def provider_json(provider: Provider, connected: Mapping[str, Integration]) -> JsonObject:
    """One entry of the catalog (mobius-contract §4.2). `connected`: the project's integration of each provider."""
    return {
        "name": provider.id,
        "display_name": provider.name,
        "description": provider.description,
        "category": provider.category,
        "auth_kind": provider.auth_kind.value,
        "connect_flow": provider.connect_flow.value,
        "capabilities": asdict(provider.capabilities),
        "connection": _connection(connected.get(provider.id)),
        "events": [],
        "actions": [_action_json(provider, action) for action in provider.actions],
        "trigger_patterns": [],
        "docs_url": provider.docs_url,
    }


def probe_json(probe: Probe) -> JsonObject:
    attempt = probe.attempt
    return without_nulls(
        {
            "ok": probe.ok,
            "delivery_id": attempt.pk,
            "state": attempt.state,
            "status_code": attempt.status_code,
            "latency_ms": attempt.latency_ms,
            "answer": attempt.response[:2000] or None,
            "failure": attempt.failure or None,
            "stages": [stage.value for stage in probe.stages],
            "cause": probe.diagnosis.cause,
            "fix": probe.diagnosis.fix or None,
        }
    )


def _config(integration: Integration, webhook: Webhook | None, webhook_url: str) -> JsonObject:
    config: JsonObject = {}
    if webhook is not None:
        config["webhook_url"] = webhook_url or webhook.masked_url
        if webhook.auth_header_name:
            config["auth_header_name"] = webhook.auth_header_name
    if integration.attention:
        config["attention"] = integration.attention
    return config


def _connection(integration: Integration | None) -> JsonObject:
    if integration is None:
        return {"connected": False}
    return {
        "connected": True,
        "integration_id": integration.pk,
        "integration_name": integration.name,
        "status": integration.status,
        "updated_at": timestamp(integration.updated_at),
    }


def _action_json(provider: Provider, action: Action) -> JsonObject:
    return {
        "name": provider.action_name(action),
        "title": action.title,
        "description": action.description,
        "input_schema": action.input_schema,
        "output_schema": action.output_schema,
    }
