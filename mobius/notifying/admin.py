"""Webhooks and what they were told, for support staff: read only, bodies masked, no secret."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString

from mobius.notifying.models import Endpoint, Notification
from mobius.projects.admin_reading import ReadingAdmin, masked, masked_text, preformatted


@admin.register(Endpoint)
class EndpointAdmin(ReadingAdmin):
    not_in_lists = ("url",)
    list_display = ("name", "project", "url_shown", "enabled", "failures_in_a_row", "id", "created_at")
    list_select_related = ("project",)
    list_filter = ("enabled", "created_at")
    search_fields = ("id__exact", "name__exact", "project__handle__exact")
    search_help_text = "By exact id, name or project handle."
    fields = (
        *("id", "project", "name", "url_shown", "events", "enabled", "disabled_because", "failing_since"),
        *("failures_in_a_row", "secret_version", "created_by", "updated_by", "created_at", "updated_at"),
    )


@admin.register(Notification)
class NotificationAdmin(ReadingAdmin):
    not_in_lists = ("body", "response", "tries", "endpoint__url")
    list_display = ("id", "project", "endpoint", "event_type", "state", "attempts", "status_code", "created_at")
    list_select_related = ("project", "endpoint")
    list_filter = ("state", "event_type", "created_at")
    search_fields = ("id__exact", "run_id__exact", "endpoint__id__exact", "project__handle__exact")
    search_help_text = "By exact id, run id, webhook id or project handle."
    fields = (
        *("id", "project", "endpoint", "event_type", "run_id", "state", "attempts", "due_at", "status_code"),
        *("last_error", "latency_ms", "created_at", "delivered_at", "body_masked", "response_masked", "tries_shown"),
    )

    @admin.display(description="Body")
    def body_masked(self, notification: Notification) -> SafeString:
        return preformatted(masked_text(notification.body))

    @admin.display(description="Answer")
    def response_masked(self, notification: Notification) -> SafeString:
        return preformatted(masked_text(notification.response))

    @admin.display(description="Attempts")
    def tries_shown(self, notification: Notification) -> SafeString:
        return preformatted(masked(notification.tries))
