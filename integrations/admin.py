"""Integrations and every row that went out, for support staff. Secrets are not registered, so no page can show one."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from integrations.models import Attempt, Integration, LedgerEntry, Pacer, Webhook, WebhookState
from mobius.projects.admin_reading import (
    EMPTY,
    ReadingAdmin,
    ReadingInline,
    SupportAdmin,
    masked_text,
    preformatted,
)
from mobius.projects.admin_saving import AuditedSaves, ReasonedForm


class WebhookInline(ReadingInline):
    model = Webhook
    show_change_link = False
    fields = (
        *("masked_url", "state", "auth_header_name", "used", "in_flight", "submission_limit", "refusals_in_a_row"),
        *("last_success_at", "last_failure_at"),
    )
    ordering = ("-pk",)


@admin.register(Integration)
class IntegrationAdmin(ReadingAdmin):
    list_display = ("name", "provider", "project", "status", "attention", "rows", "id", "created_at")
    list_select_related = ("project", "pacer")
    list_filter = ("status", "provider", "created_at")
    search_fields = ("id__exact", "project__handle__exact", "name__exact", "webhooks__url_fingerprint__exact")
    search_help_text = "By exact id, name, project handle, or fingerprint of the webhook's URL."
    fields = (
        *("id", "project", "name", "provider", "status", "attention", "pacer"),
        *("never_twice", "deduplicates", "wait_at_limit", "tags", "created_by", "created_at", "updated_at"),
    )
    inlines: ClassVar = [WebhookInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Integration]:
        current = Prefetch("webhooks", Webhook.objects.filter(state=WebhookState.CURRENT), to_attr="current")
        return super().get_queryset(request).prefetch_related(current)

    @admin.display(description="rows")
    def rows(self, integration: Any) -> str:
        webhooks: list[Webhook] = integration.current
        if not webhooks:
            return EMPTY
        limit = webhooks[0].submission_limit
        return f"{webhooks[0].used:,} of {'unlimited' if limit is None else f'{limit:,}'}"


class PaceForm(ReasonedForm):
    rate_per_second = forms.FloatField(
        required=False, min_value=0.01, max_value=10_000, help_text="Empty: unpaced. Clay takes 10; 9.9 is safe."
    )
    burst = forms.IntegerField(min_value=1, max_value=10_000, help_text="Rows at once after a rest. Clay takes 20.")

    class Meta:
        model = Pacer
        fields = ("rate_per_second", "burst")


@admin.register(Pacer)
class PacerAdmin(AuditedSaves, SupportAdmin):
    kind = "pacer"
    list_display = ("label", "project", "rate_per_second", "burst", "id")
    list_select_related = ("project",)
    search_fields = ("id__exact", "project__handle__exact", "label__exact")
    search_help_text = "By exact id, workspace label or project handle."
    form = PaceForm
    fields = ("project", "label", "rate_per_second", "burst", "reason")
    readonly_fields = ("project", "label")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # connecting makes them


class AttemptAdmin(ReadingAdmin):
    """Registered in loops/admin/runs.py: what settles a delivery moves its run."""

    not_in_lists = ("body", "response")
    list_display = ("id", "project", "state", "kind", "status_code", "request_id", "run_id", "latency_ms", "created_at")
    list_select_related = ("project", "integration", "webhook")
    list_filter = ("state", "kind", "created_at")
    search_fields = ("id__exact", "request_id__exact", "external_id__exact", "run_id__exact", "project__handle__exact")
    search_help_text = "By exact id, request_id, external_id, run id or project handle."
    fields = (
        *("id", "project", "integration", "masked_url", "action", "kind", "run_id", "step_id", "number"),
        *("state", "status_code", "failure", "error_message", "latency_ms", "created_at", "finished_at"),
        *("request_id", "external_id", "body_size", "body_digest", "sent", "answered"),
    )

    @admin.display(description="webhook")
    def masked_url(self, attempt: Attempt) -> str:
        return attempt.webhook.masked_url

    @admin.display(description="body, masked")
    def sent(self, attempt: Attempt) -> SafeString:
        return preformatted(masked_text(attempt.body))

    @admin.display(description="answer, masked")
    def answered(self, attempt: Attempt) -> SafeString:
        return preformatted(masked_text(attempt.response))


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadingAdmin):
    list_display = ("request_id", "destination", "attempt_id", "created_at")
    list_filter = ("created_at",)
    search_fields = ("request_id__exact", "destination__exact", "attempt__id__exact")
    search_help_text = "By exact request_id, destination or attempt."
    fields = ("request_id", "destination", "body_digest", "attempt", "created_at")
