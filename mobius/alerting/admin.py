"""Alerts, who is told, and what they were sent, for support staff: read only."""

from __future__ import annotations

from django.contrib import admin

from mobius.alerting.models import Alert, Mail, Recipient
from mobius.projects.admin_reading import ReadingAdmin


@admin.register(Alert)
class AlertAdmin(ReadingAdmin):
    list_display = ("title", "project", "condition", "level", "opened_at", "closed_at", "id")
    list_select_related = ("project",)
    list_filter = ("condition", "opened_at")
    search_fields = ("id__exact", "object_id__exact", "project__handle__exact")
    search_help_text = "By exact id, id of the thing or project handle."
    fields = (
        *("id", "project", "condition", "object_id", "object_name", "level", "summary", "detail", "to_do"),
        *("opened_at", "eased_to", "eased_since", "closed_at"),
    )


@admin.register(Recipient)
class RecipientAdmin(ReadingAdmin):
    list_display = ("address", "project", "member", "conditions", "id", "created_at")
    list_select_related = ("project", "membership__user")
    search_fields = ("id__exact", "address__exact", "project__handle__exact")
    search_help_text = "By exact id, address or project handle."
    fields = ("id", "project", "member", "address", "conditions", "created_by", "created_at")


@admin.register(Mail)
class MailAdmin(ReadingAdmin):
    not_in_lists = ("text",)
    list_display = ("subject", "project", "address", "kind", "state", "attempts", "created_at", "id")
    list_select_related = ("project",)
    list_filter = ("state", "kind", "created_at")
    search_fields = ("id__exact", "address__exact", "alert__id__exact", "project__handle__exact")
    search_help_text = "By exact id, address, alert id or project handle."
    fields = (
        *("id", "project", "alert", "address", "kind", "state", "attempts", "due_at", "last_error", "subject", "text"),
        *("created_at", "sent_at"),
    )
