"""Every row that went out, and the ledger that keeps one from going out twice. Bodies are masked."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.utils.safestring import SafeString

from integrations.models import Attempt, AttemptState, LedgerEntry, Webhook
from mobius.web.support.drawing import badge
from mobius.web.support.filters import Created, Pick, created, went_wrong
from mobius.web.support.reading import ReadingAdmin, masked_text, preformatted
from mobius.web.support.searching import Search
from mobius.web.support.site import Counter, count


class HttpClass(Pick):
    title = "HTTP status"
    parameter_name = "http"
    picks: ClassVar = {
        **{f"{n}xx": (f"{n}xx", Q(status_code__gte=n * 100, status_code__lt=n * 100 + 100)) for n in (2, 3, 4, 5)},
        "none": ("No answer", Q(status_code=None)),
    }


class Kind(Pick):
    """Those that belong to no run are found by the index of runs."""

    title = "kind"
    parameter_name = "kind"
    picks: ClassVar = {
        "run": ("Step of a run", Q(kind="run")),
        "invoke": ("Called directly", Q(kind="invoke", run_id="")),
        "test": ("Test", Q(kind="test", run_id="")),
    }


class AttemptAdmin(ReadingAdmin):
    """Registered in loops/admin/deliveries.py: what settles a delivery moves its run."""

    not_in_lists = ("body", "response")
    console = ("delivery", "pk")
    list_display = ("id", "outcome", "project", "status_code", "created_at", "request_id", "run_id")
    list_select_related = ("project",)
    page_select_related = ("integration", "webhook")
    list_filter = (
        "state",
        went_wrong("state", *(one for one in AttemptState if one.is_without_a_row), AttemptState.IN_DOUBT),
        HttpClass,
        Kind,
        Created,
    )
    indexed_filters = ("state", "kind")
    search = Search(
        ids=("pk", "run_id"),
        in_projects=("request_id", "external_id"),
        project="project",
        help="By exact id, run id, request_id, external_id or project handle.",
    )
    fields = (
        *("id", "project", "integration", "masked_url", "action", "kind", "run_id", "step_id", "number"),
        *("outcome", "status_code", "failure", "error_message", "latency_ms", "created_at", "finished_at"),
        *("request_id", "external_id", "body_size", "body_digest", "sent", "answered"),
    )
    outcome = badge("state")

    def by_index(self, rows: QuerySet[Attempt]) -> QuerySet[Attempt]:
        return rows.filter(webhook__in=Webhook.objects.order_by())

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
    console = ("delivery", "attempt_id")
    owner = "attempt.project"
    page_select_related = ("attempt__project",)
    list_display = ("id", "request_id", "destination", "attempt_id", "created_at")
    list_filter = (created("attempt_id", "att"),)
    search = Search(
        ids=("attempt_id",),
        elsewhere=lambda text: [
            LedgerEntry.objects.filter(destination__in=_destinations(), request_id=text).values_list("pk", flat=True)
        ],
        of={"dst": "destination"},
        help="By exact request_id, destination or attempt id.",
    )
    fields = ("request_id", "destination", "body_digest", "attempt", "created_at")


def _destinations() -> QuerySet[Webhook, str]:
    """All there are: the index of the ledger begins with them."""
    return Webhook.objects.order_by().values_list("destination", flat=True)


count(
    Counter(
        label="rows in doubt",
        model=Attempt,
        rows=Attempt.objects.in_doubt,
        query={"state__exact": AttemptState.IN_DOUBT},
    )
)
