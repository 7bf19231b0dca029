"""Integrations with their webhooks, and paces. Secrets are not registered, so no page can show one."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import F, Prefetch, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from integrations.connecting import pause, resume
from integrations.models import Attempt, Integration, IntegrationStatus, Pacer, Webhook, WebhookSecret, WebhookState
from mobius.web.support.asking import WhyForm, actor, ask, may
from mobius.web.support.drawing import badge
from mobius.web.support.filters import Created, Pick
from mobius.web.support.linking import EMPTY, link
from mobius.web.support.reading import MOST_LINES, ReadingAdmin, ReadingStack, SupportAdmin, lines
from mobius.web.support.saving import AuditedSaves, ReasonedForm
from mobius.web.support.searching import Search
from mobius.web.support.site import Counter, count
from mobius.web.templatetags.console import when

NEARLY_FULL = 0.9


class WebhookInline(ReadingStack):
    model = Webhook
    show_change_link = False
    fields = (
        ("state_shown", "fingerprint"),
        ("auth_header_name", "auth_header", "rotated_at"),
        ("used", "in_flight", "submission_limit"),
        ("refusals_in_a_row", "last_success_at", "last_failure_at"),
    )
    ordering = ("-pk",)
    state_shown = badge("state")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Webhook]:
        """With when its secret was written last, and without the secret."""
        when = WebhookSecret.objects.only("webhook", "updated_at")
        return super().get_queryset(request).prefetch_related(Prefetch("secret", when))

    @admin.display(description="fingerprint of the URL")
    def fingerprint(self, webhook: Webhook) -> str:
        return webhook.url_fingerprint[:12]

    @admin.display(description="auth header's value")
    def auth_header(self, webhook: Webhook) -> str:
        return "set" if webhook.auth_header_name else "not set"

    @admin.display(description="last rotated")
    def rotated_at(self, webhook: Webhook) -> SafeString | str:
        secret: WebhookSecret | None = getattr(webhook, "secret", None)
        return when(secret.updated_at) if secret else EMPTY


class NearlyFull(Pick):
    title = "budget"
    parameter_name = "budget"
    picks: ClassVar = {
        "nearly_full": (
            "Over 90 % used",
            Q(webhooks__state=WebhookState.CURRENT, webhooks__used__gt=F("webhooks__submission_limit") * NEARLY_FULL),
        )
    }


class WantsAttention(Pick):
    title = "error"
    parameter_name = "error"
    picks: ClassVar = {"error": ("Needs attention", ~Q(attention="") | Q(status=IntegrationStatus.EXPIRED))}


@admin.register(Integration)
class IntegrationAdmin(ReadingAdmin):
    actions = ("pause_integrations", "resume_integrations")
    console = ("integration", "pk")
    list_display = ("id", "state", "name", "provider", "project", "attention", "rows", "created_at")
    list_select_related = ("project", "pacer")
    list_filter = ("status", NearlyFull, WantsAttention, "provider", Created)
    search = Search(
        ids=("pk", "name", "webhooks__url_fingerprint", "webhooks__pk", "webhooks__destination"),
        project="project",
        help="By exact id, name, id or fingerprint of a webhook, destination, or project handle.",
    )
    fields = (
        *("id", "project", "name", "provider", "state", "attention", "pacer"),
        *("never_twice", "deduplicates", "wait_at_limit", "tags", "created_by", "created_at", "updated_at", "latest"),
    )
    inlines: ClassVar = [WebhookInline]
    state = badge("status")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Integration]:
        current = Prefetch("webhooks", Webhook.objects.filter(state=WebhookState.CURRENT), to_attr="current")
        return super().get_queryset(request).prefetch_related(current)

    def has_pause_permission(self, request: HttpRequest) -> bool:
        return may(request, "integrations.pause_integration")

    def has_resume_permission(self, request: HttpRequest) -> bool:
        return may(request, "integrations.resume_integration")

    @admin.action(description="Pause", permissions=["pause"])
    def pause_integrations(self, request: HttpRequest, integrations: QuerySet[Integration]) -> HttpResponse | None:
        return ask(
            self,
            request,
            integrations,
            title="Pause these integrations?",
            button="Pause",
            action="pause_integrations",
            explanation="Nothing is sent until somebody resumes them. Rows wait; none is lost.",
            form_class=WhyForm,
            do=lambda one, form: pause(one, why=form.cleaned_data["reason"], by=actor(request)),
            refuse=lambda one: "" if one.usable else "It sends nothing already.",
        )

    @admin.action(description="Resume", permissions=["resume"])
    def resume_integrations(self, request: HttpRequest, integrations: QuerySet[Integration]) -> HttpResponse | None:
        return ask(
            self,
            request,
            integrations,
            title="Resume these integrations?",
            button="Resume",
            action="resume_integrations",
            explanation="The rows that wait are sent at once, at the table's pace, and spend credits there.",
            form_class=WhyForm,
            do=lambda one, form: resume(one, why=form.cleaned_data["reason"], by=actor(request)),
            refuse=_why_not_resume,
        )

    @admin.display(description="rows")
    def rows(self, integration: Any) -> str:
        webhooks: list[Webhook] = integration.current
        if not webhooks:
            return EMPTY
        limit = webhooks[0].submission_limit
        return f"{webhooks[0].used:,} of {'unlimited' if limit is None else f'{limit:,}'}"

    @admin.display(description="latest deliveries")
    def latest(self, integration: Integration) -> SafeString | str:
        sent = Attempt.objects.through(integration).without_bodies().order_by("-pk")[:MOST_LINES]
        return lines(
            [(one.created_at, link(Attempt, one.pk), one.get_state_display(), one.status_code or "") for one in sent],
            "{} {} {} {}",
        )


def _why_not_resume(integration: Integration) -> str:
    nothing_is_wrong = integration.usable and not integration.held and not integration.attention
    return "It is neither paused nor flagged." if nothing_is_wrong else ""


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
    console = ("integrations",)
    list_display = ("id", "label", "project", "rate_per_second", "burst")
    list_select_related = ("project",)
    search = Search(ids=("pk", "label"), project="project", help="By exact id, workspace label or project handle.")
    form = PaceForm
    fields = ("project", "label", "rate_per_second", "burst", "reason")
    readonly_fields = ("project", "label")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # connecting makes them


count(
    Counter(
        label="webhooks over 90 % of their budget",
        model=Integration,
        rows=lambda: Integration.objects.filter(NearlyFull.picks["nearly_full"][1]),
        query={"budget": "nearly_full"},
    )
)
count(
    Counter(
        label="integrations paused",
        model=Integration,
        rows=lambda: Integration.objects.filter(status=IntegrationStatus.INACTIVE),
        query={"status__exact": IntegrationStatus.INACTIVE},
    )
)
