"""`/v1`: the contract's webhooks (mobius-contract §9), and the log of what they were told."""

from __future__ import annotations

from typing import Any, ClassVar

from django.views.decorators.debug import sensitive_variables
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from integrations.addresses import URL_LIMIT
from integrations.secrets import SecretUnreadable
from mobius.api.pagination import page
from mobius.api.serializing import RequestSerializer, TagsField, timestamp, without_nulls
from mobius.errors import InvalidFields, NotFound
from mobius.notifying import sending, subscribing
from mobius.notifying.models import Endpoint, Notification
from mobius.projects.api.viewsets import ProjectViewSet
from mobius.projects.roles import Permission, Role

JsonObject = dict[str, Any]
_SWITCH = {"true": True, "false": False}


class WebhookSerializer(RequestSerializer):
    name = serializers.CharField(max_length=200, required=False)
    url = serializers.CharField(max_length=URL_LIMIT, required=False, allow_blank=True)
    events = serializers.ListField(child=serializers.CharField(max_length=60), required=False, max_length=20)
    enabled = serializers.BooleanField(required=False)
    tags = TagsField(required=False)


class NewWebhookSerializer(WebhookSerializer):
    name = serializers.CharField(max_length=200)


class PingSerializer(RequestSerializer):
    url = serializers.CharField(max_length=URL_LIMIT, required=False, allow_blank=True, default="")


def webhook_json(endpoint: Endpoint, *, whole: bool) -> JsonObject:
    """A Webhook. `whole`: with its address, which others than admins see masked."""
    shown: JsonObject = {
        "id": endpoint.pk,
        "name": endpoint.name,
        "url": _address(endpoint) if whole else endpoint.url_shown,
        "events": endpoint.events,
        "enabled": endpoint.enabled,
        "created_by": endpoint.created_by or None,
        "updated_by": endpoint.updated_by or None,
        "tags": endpoint.tags or None,
        "secret_ref": endpoint.secret_ref,
        "created_at": timestamp(endpoint.created_at),
        "updated_at": timestamp(endpoint.updated_at),
    }
    return without_nulls(shown)


def _address(endpoint: Endpoint) -> str:
    """Masked also where it cannot be read, for who sees that can replace it, and where it was deleted just now."""
    try:
        return str(endpoint.url)
    except (SecretUnreadable, Endpoint.DoesNotExist):
        return endpoint.url_shown


def notification_json(notification: Notification) -> JsonObject:
    shown: JsonObject = {
        "id": notification.pk,
        "webhook_id": notification.endpoint_id,
        "run_id": notification.run_id or None,
        "event_type": notification.event_type,
        "status": notification.state,
        "attempts": notification.attempts,
        "last_error": notification.last_error or None,
        "created_at": timestamp(notification.created_at),
        "delivered_at": timestamp(notification.delivered_at),
    }
    return without_nulls(shown)


def whole_notification_json(notification: Notification) -> JsonObject:
    """Ours, not the contract's: with what was sent and answered."""
    more: JsonObject = {
        "body": notification.body or None,
        "status_code": notification.status_code,
        "response": notification.response or None,
        "latency_ms": notification.latency_ms,
        "next_attempt_at": timestamp(notification.due_at),
        "tries": notification.tries,
    }
    return notification_json(notification) | without_nulls(more)


@sensitive_variables("made")
def _secret_json(made: subscribing.NewSecret) -> JsonObject:
    endpoint = made.endpoint
    return {
        "secret_ref": endpoint.secret_ref,
        "secret_version": endpoint.secret_version,
        "signing_secret": made.text,
    }


class _OfWebhook(ProjectViewSet):
    def _endpoint(self, webhook: str) -> Endpoint:
        found = Endpoint.objects.of_project(self.project).filter(pk=webhook).first()
        if found is None:
            raise NotFound("There is no such webhook.")
        return found


class WebhookViewSet(_OfWebhook):
    needs: ClassVar = {
        "list": Permission.READ,
        "create": Permission.ADMINISTER,
        "retrieve": Permission.READ,
        "partial_update": Permission.ADMINISTER,
        "destroy": Permission.ADMINISTER,
        "rotate": Permission.ADMINISTER,
        "ping": Permission.ADMINISTER,
    }

    def list(self, request: Request, project: str) -> Response:
        endpoints = Endpoint.objects.of_project(self.project)
        if enabled := request.query_params.get("enabled"):
            if enabled not in _SWITCH:
                raise InvalidFields({"enabled": ["Send true or false."]})
            endpoints = endpoints.filter(enabled=_SWITCH[enabled])
        return Response(page(endpoints, request.query_params, serialize=self._shown))

    @sensitive_variables("made")
    def create(self, request: Request, project: str) -> Response:
        wanted = NewWebhookSerializer.read(request.data)
        made = subscribing.create_endpoint(project=self.project, **wanted, by=self.actor)
        return Response(self._shown(made.endpoint) | _secret_json(made), status=201)

    def retrieve(self, request: Request, project: str, webhook: str) -> Response:
        return Response(self._shown(self._endpoint(webhook)))

    def partial_update(self, request: Request, project: str, webhook: str) -> Response:
        found = self._endpoint(webhook)
        changes = WebhookSerializer.read(request.data)
        return Response(self._shown(subscribing.update_endpoint(found, changes, by=self.actor)))

    def destroy(self, request: Request, project: str, webhook: str) -> Response:
        subscribing.delete_endpoint(self._endpoint(webhook), by=self.actor)
        return Response(status=204)

    @sensitive_variables("made")
    def rotate(self, request: Request, project: str, webhook: str) -> Response:
        found = self._endpoint(webhook)
        RequestSerializer.read(request.data)
        return Response(_secret_json(subscribing.rotate_secret(found, by=self.actor)))

    def ping(self, request: Request, project: str, webhook: str) -> Response:
        """POST a test event, to another address if one is given: so it can be tried before it is saved."""
        found = self._endpoint(webhook)
        url = PingSerializer.read(request.data)["url"].strip()
        done = sending.ping(found, url=subscribing.checked_url(url or found.url))
        shown = {"success": done.success, "status_code": done.status_code, "error": done.error or None}
        return Response(without_nulls(shown | {"latency_ms": done.latency_ms}))

    def _shown(self, endpoint: Endpoint) -> JsonObject:
        return webhook_json(endpoint, whole=Role(self.key.role).allows(Permission.ADMINISTER))


class DeliveryLogViewSet(_OfWebhook):
    needs: ClassVar = {"list": Permission.READ, "retrieve": Permission.READ, "redeliver": Permission.OPERATE}

    def list(self, request: Request, project: str, webhook: str) -> Response:
        told = Notification.objects.filter(endpoint=self._endpoint(webhook)).without_bodies()
        return Response(page(told, request.query_params, serialize=notification_json))

    def retrieve(self, request: Request, project: str, webhook: str, notification: str) -> Response:
        return Response(whole_notification_json(self._notification(webhook, notification)))

    def redeliver(self, request: Request, project: str, webhook: str, notification: str) -> Response:
        found = self._notification(webhook, notification)
        RequestSerializer.read(request.data)
        return Response(notification_json(sending.redeliver(found, by=self.actor)), status=202)

    def _notification(self, webhook: str, notification_id: str) -> Notification:
        endpoint = self._endpoint(webhook)
        found = Notification.objects.filter(endpoint=endpoint, pk=notification_id).first()
        if found is None:
            raise NotFound("There is no such delivery.")
        return found
