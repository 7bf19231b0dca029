"""Webhooks and what they were told, for support staff: bodies masked, no secret. A notification can be sent again."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from mobius.notifying.models import Endpoint, Notification, NotificationState, SigningSecret
from mobius.notifying.sending import redeliver
from mobius.web.support.asking import WhyForm, actor, ask, may
from mobius.web.support.drawing import badge
from mobius.web.support.filters import Created, Pick, went_wrong
from mobius.web.support.linking import link, list_of
from mobius.web.support.reading import MOST_LINES, ReadingAdmin, lines, masked, masked_text, preformatted
from mobius.web.support.searching import Search
from mobius.web.templatetags.console import when


class Failing(Pick):
    title = "error"
    parameter_name = "error"
    picks: ClassVar = {"error": ("Failing", ~Q(disabled_because="") | Q(failures_in_a_row__gt=0))}


@admin.register(Endpoint)
class EndpointAdmin(ReadingAdmin):
    not_in_lists = ("url",)
    console = ("webhook", "pk")
    list_display = ("id", "name", "project", "url_shown", "enabled", "failures_in_a_row", "created_at")
    list_select_related = ("project",)
    list_filter = ("enabled", Failing, Created)
    search = Search(ids=("pk", "name"), project="project", help="By exact id, name or project handle.")
    fields = (
        *("id", "project", "name", "url_shown", "events", "enabled", "disabled_because", "failing_since"),
        *("failures_in_a_row", "secret_version", "rotated_at"),
        *("created_by", "updated_by", "created_at", "updated_at", "latest"),
    )

    @admin.display(description="signing secret last rotated")
    def rotated_at(self, endpoint: Endpoint) -> SafeString | str:
        made = SigningSecret.objects.filter(endpoint=endpoint).order_by("-version")
        return when(made.values_list("created_at", flat=True).first())

    @admin.display(description="latest deliveries")
    def latest(self, endpoint: Endpoint) -> SafeString | str:
        told = endpoint.notifications.without_bodies().order_by("-pk")[: MOST_LINES + 1]
        return lines(
            [(one.created_at, link(Notification, one.pk), one.event_type, one.get_state_display()) for one in told],
            "{} {} {} {}",
            all_of_them=list_of(Notification, q=endpoint.pk),
        )


@admin.register(Notification)
class NotificationAdmin(ReadingAdmin):
    actions = ("redeliver_notifications",)
    not_in_lists = ("body", "response", "tries", "endpoint__url")
    console = ("webhook_delivery", "endpoint_id", "pk")
    list_display = ("id", "outcome", "project", "endpoint", "event_type", "attempts", "status_code", "created_at")
    list_select_related = ("project", "endpoint")
    list_filter = ("state", went_wrong("state", NotificationState.FAILED), Created)
    search = Search(
        elsewhere=lambda text: [Notification.objects.of_run(text).order_by().values_list("pk", flat=True)],
        of={"wbh": "endpoint"},
        project="endpoint",
        help="By exact id, run id, webhook id or project handle.",
    )
    fields = (
        *("id", "project", "endpoint", "event_type", "run_id", "outcome", "attempts", "due_at", "status_code"),
        *("last_error", "latency_ms", "created_at", "delivered_at", "body_masked", "response_masked", "tries_shown"),
    )
    outcome = badge("state")

    def has_redeliver_permission(self, request: HttpRequest) -> bool:
        return may(request, "notifying.redeliver_notification")

    @admin.action(description="Send again", permissions=["redeliver"])
    def redeliver_notifications(self, request: HttpRequest, told: QuerySet[Notification]) -> HttpResponse | None:
        return ask(
            self,
            request,
            told,
            title="Send these notifications again?",
            button="Send again",
            action="redeliver_notifications",
            explanation="Each goes out under its own id, by which a receiver that keeps ids knows it.",
            form_class=WhyForm,
            do=lambda one, form: redeliver(one, why=form.cleaned_data["reason"], by=actor(request)),
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
