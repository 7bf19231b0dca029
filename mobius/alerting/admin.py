"""Alerts, who is told, and what they were sent, for support staff. A mail can be sent again."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from mobius.alerting.conditions import Condition
from mobius.alerting.mailing import resend
from mobius.alerting.models import Alert, Mail, MailState, Recipient
from mobius.web.support.asking import WhyForm, actor, ask, may
from mobius.web.support.drawing import badge
from mobius.web.support.filters import Created, Pick, went_wrong
from mobius.web.support.linking import link
from mobius.web.support.reading import MOST_LINES, ReadingAdmin, lines
from mobius.web.support.searching import Search
from mobius.web.support.site import Counter, count


class Open(Pick):
    title = "state"
    parameter_name = "open"
    picks: ClassVar = {"yes": ("Open", Q(closed_at=None)), "no": ("Over", Q(closed_at__isnull=False))}


@admin.register(Alert)
class AlertAdmin(ReadingAdmin):
    console = ("alerts",)
    list_display = ("id", "title", "project", "condition", "level", "opened_at", "closed_at")
    list_select_related = ("project",)
    list_filter = (Open, "condition", Created)
    search = Search(ids=("pk", "object_id"), project="project", help="By exact id, id of the thing or project handle.")
    fields = (
        *("id", "project", "condition", "object_id", "object_name", "level", "summary", "detail", "to_do"),
        *("opened_at", "eased_to", "eased_since", "closed_at", "told"),
    )

    @admin.display(description="mails")
    def told(self, alert: Alert) -> SafeString | str:
        mails = alert.mails.without_texts().order_by("pk")[:MOST_LINES]
        return lines(
            [(one.created_at, link(Mail, one.pk, one.address), one.get_state_display()) for one in mails], "{} {} {}"
        )


@admin.register(Recipient)
class RecipientAdmin(ReadingAdmin):
    console = ("alerts",)
    list_display = ("id", "address", "project", "member", "conditions", "created_at")
    list_select_related = ("project", "membership__user")
    list_filter = (Created,)
    search = Search(ids=("pk", "address"), project="project", help="By exact id, address or project handle.")
    fields = ("id", "project", "member", "address", "conditions", "created_by", "created_at")


@admin.register(Mail)
class MailAdmin(ReadingAdmin):
    actions = ("resend_mails",)
    not_in_lists = ("text",)
    console = ("alerts",)
    list_display = ("id", "outcome", "subject", "project", "address", "kind", "attempts", "created_at")
    list_select_related = ("project",)
    list_filter = ("state", went_wrong("state", MailState.FAILED), "kind", Created)
    search = Search(
        ids=("pk", "alert", "address"), project="project", help="By exact id, address, alert id or project handle."
    )
    fields = (
        *("id", "project", "alert", "address", "kind", "outcome", "attempts", "due_at", "last_error"),
        *("subject", "text", "created_at", "sent_at"),
    )
    outcome = badge("state")

    def has_resend_permission(self, request: HttpRequest) -> bool:
        return may(request, "alerting.resend_mail")

    @admin.action(description="Send again", permissions=["resend"])
    def resend_mails(self, request: HttpRequest, mails: QuerySet[Mail]) -> HttpResponse | None:
        return ask(
            self,
            request,
            mails,
            title="Send these mails again?",
            button="Send again",
            action="resend_mails",
            explanation="Each goes to its recipient once more, in the words of then. A mailbox may show it twice.",
            form_class=WhyForm,
            do=lambda mail, form: resend(mail, why=form.cleaned_data["reason"], by=actor(request)),
        )


count(
    Counter(
        label="loops with callbacks overdue",
        model=Alert,
        rows=lambda: Alert.objects.open().filter(condition=Condition.CALLBACKS_OVERDUE),
        query={"open": "yes", "condition__exact": Condition.CALLBACKS_OVERDUE},
    )
)
