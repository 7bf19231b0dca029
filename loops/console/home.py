"""The way to a project, and its first page: what needs a person, what happened last, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_safe

from integrations.models import Attempt, Integration, Webhook
from integrations.usage import Fullness, Usage, usage_of_each
from loops.console.activity import activity_of
from loops.console.next_step import next_step
from loops.console.runs import listed
from loops.models import Run
from loops.selecting import found_ids
from mobius import clock
from mobius.alerting.console.showing import shown_alerts
from mobius.projects.models import Project
from mobius.projects.roles import Permission
from mobius.web.access import ProjectRequest, project_page

_RUNS_SHOWN = 10
_INTEGRATIONS_SHOWN = 6
_ALERTS_SHOWN = 5
_TELLING = 10  # a tenth of the budget
_COUNTED = 100
"""Further nobody counts: beyond it the page says "more than"."""
_FAILED_LOOKED_AT = 1_000


@dataclass(frozen=True, kw_only=True)
class ShownIntegration:
    integration: Integration
    webhook: Webhook
    usage: Usage

    @property
    def gone(self) -> int:
        return self.usage.used + self.usage.possibly_used + self.usage.in_flight

    @property
    def used_words(self) -> str:
        limit = self.usage.limit
        words = f"{self.gone:,}" if limit is None else f"{self.gone:,} of {limit:,}"
        return f"{words}, {self.usage.possibly_used:,} in doubt" if self.usage.possibly_used else words

    @property
    def forecast_at(self) -> datetime | None:
        """When it is full; not said while so little is gone that a pace of it means nothing."""
        limit = self.usage.limit
        return self.usage.forecast_at if limit and self.gone * _TELLING >= limit else None

    @property
    def warns_at(self) -> int:
        return self.usage.rows_at(Fullness.THREE_QUARTERS)

    @property
    def alarms_at(self) -> int:
        return self.usage.rows_at(Fullness.NEARLY_FULL)


@login_required
@require_safe
def root(request: HttpRequest) -> HttpResponse:
    """To the project, of those that this person may see, in which a run was started last."""
    project = Project.objects.visible_to(request.user).order_by(Run.objects.latest_by_project(), "handle").first()
    if project is not None:
        return redirect("console:home", project.handle)
    return render(request, "no_projects.html")


@require_GET
@project_page(Permission.READ)
def home(request: ProjectRequest, project: Project) -> HttpResponse:
    runs = list(Run.objects.of_project(project).for_lists().order_by("-pk")[:_RUNS_SHOWN])
    webhooks = list(Webhook.objects.current_in(project)[:_COUNTED])
    shown = _shown(webhooks[:_INTEGRATIONS_SHOWN])
    alerts = shown_alerts(project)
    in_doubt, failing = _went_wrong(project)
    return render(
        request,
        "loops/home.html",
        {
            "runs": listed(runs),
            "integrations": shown,
            "has_more_integrations": len(webhooks) > len(shown),
            "alerts": alerts[:_ALERTS_SHOWN],
            "all_alerts": len(alerts) if len(alerts) > _ALERTS_SHOWN else 0,
            "activity": activity_of(project),
            "attention": sum(_needs_a_person(webhook) for webhook in webhooks),
            "in_doubt": _counted(in_doubt),
            "failing": failing,
            "yesterday": _yesterday().date().isoformat(),
        }
        | ({} if runs else next_step(request, project)),
    )


def _shown(webhooks: list[Webhook]) -> list[ShownIntegration]:
    usages = usage_of_each(webhooks, now=clock.now())
    return [
        ShownIntegration(integration=webhook.integration, webhook=webhook, usage=usages[webhook.pk])
        for webhook in webhooks
        if webhook.integration is not None  # the list is made of integrations
    ]


def _went_wrong(project: Project) -> tuple[int, int]:
    """How many rows are in doubt; and how many loops have runs that failed and came in since yesterday, among the
    latest thousand of these. In one statement: the page asks enough of them."""
    in_doubt = Attempt.objects.of_project(project).in_doubt().values_list("pk")[: _COUNTED + 1]
    failed = Run.objects.of_project(project).failed_since(_yesterday()).values_list("loop_id")[:_FAILED_LOOKED_AT]
    found = found_ids(in_doubt, failed)
    rows = [one for one in found if one.startswith("att_")]
    return len(rows), len(set(found) - set(rows))


def _yesterday() -> datetime:
    """As the filters of lists have days: from midnight on, in UTC."""
    midnight = clock.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(days=1)


def _needs_a_person(webhook: Webhook) -> bool:
    integration = webhook.integration
    return integration is not None and (bool(integration.attention) or not integration.usable)


def _counted(number: int) -> str:
    return str(number) if number <= _COUNTED else f"more than {_COUNTED}"
