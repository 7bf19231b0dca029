"""What runs sent and what came back, with bodies masked. Whether a row arrived can be settled."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from integrations.admin.deliveries import AttemptAdmin
from integrations.models import Attempt
from integrations.settling import Decision
from loops.console.forms import SettleForm
from loops.models import Callback, CallbackState, Run
from loops.settling import settle
from mobius.projects.audit_models import AuditEvent
from mobius.web.support.asking import actor, ask, may
from mobius.web.support.drawing import badge
from mobius.web.support.filters import Created, went_wrong
from mobius.web.support.linking import link
from mobius.web.support.reading import MOST_LINES, ReadingAdmin, lines, masked, preformatted
from mobius.web.support.searching import Search


@admin.register(Attempt)
class SettlingAdmin(AttemptAdmin):
    actions = ("settle_deliveries",)
    fields: ClassVar[Any] = (*("run" if name == "run_id" else name for name in AttemptAdmin.fields), "timeline")

    def has_settle_permission(self, request: HttpRequest) -> bool:
        return may(request, "integrations.settle_attempt")

    @admin.action(description="Settle", permissions=["settle"])
    def settle_deliveries(self, request: HttpRequest, attempts: QuerySet[Attempt]) -> HttpResponse | None:
        def settle_one(attempt: Attempt, form: SettleForm) -> None:
            settle(
                attempt, Decision(form.cleaned_data["decision"]), reason=form.cleaned_data["reason"], by=actor(request)
            )

        return ask(
            self,
            request,
            attempts,
            title="Did the rows arrive?",
            button="Settle",
            action="settle_deliveries",
            explanation="Look into the table first. “Send again” may create the row a second time, and spends credits.",
            form_class=SettleForm,
            do=settle_one,
        )

    @admin.display(description="run")
    def run(self, attempt: Attempt) -> SafeString | str:
        return link(Run, attempt.run_id)

    @admin.display(description="timeline")
    def timeline(self, attempt: Attempt) -> SafeString | str:
        """Every attempt of its step, what came back, and what somebody decided; oldest first."""
        happened: list[tuple[Any, SafeString | str, str, Any]] = []
        if attempt.step_id:
            alike = Attempt.objects.of_step(attempt.run_id, attempt.step_id).without_bodies()[:MOST_LINES]
            happened += [
                (one.created_at, link(Attempt, one.pk), f"attempt {one.number}: {one.get_state_display()}", "")
                for one in alike
            ]
        came = Callback.objects.to_attempt(attempt).without_bodies().order_by("pk")[:MOST_LINES]
        happened += [(one.received_at, link(Callback, one.pk), "callback", one.get_state_display()) for one in came]
        decided = AuditEvent.objects.of_object(attempt.pk).order_by("pk")[:MOST_LINES]
        happened += [(one.created_at, one.actor_name, one.action, one.reason) for one in decided]
        return lines(sorted(happened, key=lambda one: one[0]), "{} {} {} {}")


@admin.register(Callback)
class CallbackAdmin(ReadingAdmin):
    not_in_lists = ("body",)
    console = ("callback", "pk")
    list_display = ("id", "outcome", "project", "run_id", "request_id", "repeats", "received_at")
    list_select_related = ("project",)
    list_filter = ("state", went_wrong("state", CallbackState.UNMATCHED, CallbackState.AMBIGUOUS), Created)
    search = Search(
        ids=("pk", "run"),
        in_projects=("request_id",),
        elsewhere=lambda text: [Callback.objects.to_step(text).order_by().values_list("pk", flat=True)],
        project="project",
        help="By exact id, request_id, run id, step id or project handle.",
    )
    fields = (
        *("id", "project", "run", "step_id", "outcome", "request_id", "used_by", "repeats", "remark", "received_at"),
        *("body_digest", "body_masked"),
    )
    outcome = badge("state")

    @admin.display(description="body, masked")
    def body_masked(self, callback: Callback) -> SafeString:
        return preformatted("purged" if callback.purged_at else masked(callback.body))
