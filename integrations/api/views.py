"""`/v1`: the provider catalog, connecting, and the integrations of a project."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import transaction
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from integrations import connecting, probing, succession
from integrations.api.reading import read_connection, read_settings
from integrations.api.serializing import (
    delivery_json,
    integration_json,
    integrations_json,
    probe_json,
    provider_json,
    successor_json,
    whole_delivery_json,
)
from integrations.choosing import open_connection
from integrations.configuring import configure
from integrations.forms import NAME, BudgetForm
from integrations.models import Attempt, AttemptState, Integration, IntegrationStatus, Webhook
from integrations.providers.contract import Connection, Provider
from integrations.providers.registry import all_providers, get_provider
from mobius.api.pagination import page
from mobius.api.serializing import RequestSerializer
from mobius.errors import AlreadyExists, InvalidFields, NotFound
from mobius.indexes import by_another_index
from mobius.projects.api.viewsets import ProjectViewSet
from mobius.projects.roles import Permission

MAX_PAGE = 200


class NewIntegrationSerializer(RequestSerializer):
    name = serializers.CharField(max_length=100)
    provider = serializers.CharField(max_length=50)
    credentials = serializers.DictField(required=False)
    config = serializers.DictField(required=False)


class ChangedIntegrationSerializer(RequestSerializer):
    name = serializers.RegexField(NAME, max_length=100, required=False)
    credentials = serializers.DictField(required=False)
    config = serializers.DictField(required=False)
    status = serializers.ChoiceField(choices=["active", "inactive"], required=False)
    settings = serializers.DictField(required=False)
    submissions_used = serializers.IntegerField(required=False, min_value=0, max_value=1_000_000_000)


class TestSerializer(RequestSerializer):
    row = serializers.DictField(required=False)


class ProviderViewSet(ProjectViewSet):
    needs: ClassVar = {"list": Permission.READ, "connect": Permission.ADMINISTER}

    def list(self, request: Request, project: str) -> Response:
        # Of several, the one named like its provider is shown, else the oldest: the last of each wins.
        mine = sorted(self.project.integrations.order_by("-id"), key=lambda one: one.name == one.provider)
        connected = {integration.provider: integration for integration in mine}
        return Response({"providers": [provider_json(one, connected) for one in all_providers().values()]})

    def connect(self, request: Request, project: str, provider: str) -> Response:
        chosen = get_provider(provider)
        form, options = read_connection(chosen, request.data)
        integration = connecting.connect(
            project=self.project,
            provider=chosen,
            connection=form.connection,
            options=options.options,
            by=self.actor,
        )
        shown = integration_json(integration, webhook_url=form.connection.webhook_url)
        return Response({"kind": "complete", "integration": shown})


class IntegrationViewSet(ProjectViewSet):
    needs: ClassVar = {
        "list": Permission.READ,
        "create": Permission.ADMINISTER,
        "retrieve": Permission.READ,
        "update": Permission.ADMINISTER,
        "destroy": Permission.ADMINISTER,
        "test": Permission.OPERATE,
        "successor": Permission.READ,
        "stage": Permission.ADMINISTER,
        "unstage": Permission.ADMINISTER,
        "test_successor": Permission.OPERATE,
    }

    def list(self, request: Request, project: str) -> Response:
        mine = Integration.objects.filter(project=self.project).select_related("pacer")
        if provider := request.query_params.get("provider"):
            mine = mine.filter(provider=provider)
        if status := request.query_params.get("status"):
            if status not in IntegrationStatus.values:
                raise InvalidFields({"status": [f"Send one of {', '.join(IntegrationStatus.values)}."]})
            mine = mine.filter(status=status)
        return Response(page(mine, request.query_params, serialize_all=integrations_json, max_limit=MAX_PAGE))

    @transaction.atomic
    def create(self, request: Request, project: str) -> Response:
        wanted = NewIntegrationSerializer.read(request.data)
        provider = get_provider(wanted["provider"])
        connecting.hold(self.project.pk)
        if Integration.objects.filter(project=self.project, provider=provider.id, name=wanted["name"]).exists():
            raise AlreadyExists(f"There is an integration named {wanted['name']} already.")
        integration = self._connect(provider, wanted["name"], wanted)
        return Response(integration_json(integration), status=201)

    def retrieve(self, request: Request, project: str, integration: str) -> Response:
        return Response(integration_json(self._integration(integration)))

    @transaction.atomic
    def update(self, request: Request, project: str, integration: str) -> Response:
        changes = ChangedIntegrationSerializer.read(request.data)
        connecting.hold(self.project.pk)  # what is not given stays as it is
        found = self._integration(integration)
        if "config" in changes or "credentials" in changes:
            found = self._connect_again(found, changes)
        if "name" in changes and changes["name"] != found.name:
            found = connecting.rename(found, changes["name"], by=self.actor)
        if "settings" in changes or "submissions_used" in changes:
            self._configure(found, changes)
        if "status" in changes:
            found = (connecting.resume if changes["status"] == "active" else connecting.pause)(found, by=self.actor)
        return Response(integration_json(found))

    def destroy(self, request: Request, project: str, integration: str) -> Response:
        connecting.disconnect(self._integration(integration), by=self.actor)
        return Response(status=204)

    def test(self, request: Request, project: str, integration: str) -> Response:
        row = TestSerializer.read(request.data).get("row")
        return Response(probe_json(probing.probe(self._integration(integration), row, by=self.actor)))

    def successor(self, request: Request, project: str, integration: str) -> Response:
        return Response(successor_json(self._staged(self._integration(integration))))

    def stage(self, request: Request, project: str, integration: str) -> Response:
        found = self._integration(integration)
        form, budget = read_connection(get_provider(found.provider), request.data, BudgetForm)
        return Response(successor_json(succession.stage(found, form.connection, budget.options, by=self.actor)))

    def unstage(self, request: Request, project: str, integration: str) -> Response:
        found = self._integration(integration)
        self._staged(found)
        succession.unstage(found, by=self.actor)
        return Response(status=204)

    def test_successor(self, request: Request, project: str, integration: str) -> Response:
        row = TestSerializer.read(request.data).get("row")
        found = self._integration(integration)
        return Response(probe_json(probing.probe(found, row, webhook=self._staged(found), by=self.actor)))

    def _staged(self, integration: Integration) -> Webhook:
        staged = Webhook.objects.staged_for(integration)
        if staged is None:
            raise NotFound("This integration has no successor.")
        return staged

    def _integration(self, integration_id: str) -> Integration:
        found = Integration.objects.filter(project=self.project, pk=integration_id).select_related("pacer").first()
        if found is None:
            raise NotFound("There is no such integration.")
        return found

    def _configure(self, integration: Integration, changes: dict[str, Any]) -> None:
        options = read_settings(
            integration,
            connecting.current_webhook(integration),
            settings=changes.get("settings", {}),
            submissions_used=changes.get("submissions_used"),
        )
        configure(integration, options, by=self.actor)

    def _connect(
        self, provider: Provider, name: str, wanted: dict[str, Any], *, kept: Connection | None = None
    ) -> Integration:
        """Through the same gate and form as the connect call: `config` and `credentials` together are its fields.

        `kept`: where the stored header's value belongs, when it is used again.
        """
        fields = wanted.get("config", {}) | wanted.get("credentials", {}) | {"name": name}
        form, options = read_connection(provider, fields)
        if kept is not None and form.connection.webhook_url != kept.webhook_url:
            raise InvalidFields({"auth_header_value": [_STAYS]})
        return connecting.connect(
            project=self.project,
            provider=provider,
            connection=form.connection,
            options=options.options,
            by=self.actor,
        )

    def _connect_again(self, integration: Integration, changes: dict[str, Any]) -> Integration:
        """Credentials and config are each replaced whole; the one that is not given stays as it is."""
        stored = open_connection(connecting.current_webhook(integration))
        config = {"webhook_url": stored.webhook_url, "auth_header_name": stored.auth_header_name}
        whole = {"config": config, "credentials": {"auth_header_value": stored.auth_header_value}} | changes
        kept = stored if stored.auth_header_value and "credentials" not in changes else None
        return self._connect(get_provider(integration.provider), integration.name, whole, kept=kept)


_STAYS = (
    "The stored value is not sent to another address: whoever has that would learn it. Give the value, too, "
    'or send "credentials": {}.'
)


class DeliveryViewSet(ProjectViewSet):
    needs: ClassVar = {"list": Permission.READ, "retrieve": Permission.READ}

    def list(self, request: Request, project: str) -> Response:
        asked = request.query_params
        attempts = Attempt.objects.without_bodies()
        if run_id := asked.get("run_id"):
            attempts = by_another_index(attempts.of_run(run_id), "project_id", self.project.pk)
        else:
            attempts = attempts.of_project(self.project)
        if request_id := asked.get("request_id"):
            attempts = attempts.sent_under(request_id)
        if external_id := asked.get("external_id"):
            attempts = attempts.sent_for(external_id)
        few = run_id or request_id or external_id
        if state := asked.get("state"):
            if state not in AttemptState.values:
                raise InvalidFields({"state": [f"Send one of {', '.join(AttemptState.values)}."]})
            attempts = by_another_index(attempts, "state", state) if few else attempts.in_state(state)
        if integration_id := asked.get("integration_id"):
            by_integration = attempts.known_by_others_to_be_through(integration_id)
            attempts = by_integration if few else attempts.filter(integration_id=integration_id)
        return Response(page(attempts, request.query_params, serialize=delivery_json))

    def retrieve(self, request: Request, project: str, delivery: str) -> Response:
        attempt = Attempt.objects.of_project(self.project).filter(pk=delivery).first()
        if attempt is None:
            raise NotFound("There is no such delivery.")
        return Response(whole_delivery_json(attempt))
