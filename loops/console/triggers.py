"""The triggers of a loop on its page: where they are called, when they fire next, what they did last."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_POST

from loops.console.finding import find_loop
from loops.models import Loop, Trigger
from loops.spec import LoopSpec, TriggerKind, TriggerSpec
from loops.triggers.calling import demand_signature, find_http_trigger, take_unsigned
from mobius.errors import NotFound
from mobius.projects.models import Project
from mobius.projects.roles import Permission
from mobius.web.access import ProjectRequest, project_page
from mobius.web.forms import form_page

_KINDS = {
    TriggerKind.MANUAL: "By hand or over the API",
    TriggerKind.HTTP: "A call of its address",
    TriggerKind.SCHEDULE: "Schedule",
    TriggerKind.EVENT: "Event",
}


@dataclass(frozen=True, kw_only=True)
class ShownTrigger:
    """`row` is None for a manual trigger, which needs nothing at run time."""

    spec: TriggerSpec
    row: Trigger | None
    address: str  # of an HTTP trigger; "" for others, and for people who may not start runs

    @property
    def name(self) -> str:
        return self.spec.name or self.spec.key

    @property
    def kind(self) -> str:
        return _KINDS[self.spec.kind]

    @property
    def details(self) -> str:
        """What sets it off, in a few words."""
        config = self.spec.config
        if self.spec.kind == TriggerKind.SCHEDULE:
            every = f"every {config['interval']}" if config.get("interval") else str(config["cron"])
            return f"{every}, {config['timezone']}" if config.get("timezone") else every
        if self.spec.kind == TriggerKind.EVENT:
            of = f" of {config['source_id']}" if config.get("source_id") else ""
            return f"{config['event_type']}{of}"
        return ""

    @property
    def state(self) -> str:
        return "active" if self.spec.enabled and (self.row is None or self.row.active) else "inactive"


def shown_triggers(loop: Loop, spec: LoopSpec | None, *, with_addresses: bool) -> list[ShownTrigger]:
    """In the order of the loop's JSON."""
    if spec is None or not spec.triggers:
        return []
    rows = {trigger.key: trigger for trigger in Trigger.objects.filter(loop=loop)}
    return list(_shown(spec, rows, with_addresses))


def _shown(spec: LoopSpec, rows: dict[str, Trigger], with_addresses: bool) -> Iterator[ShownTrigger]:
    for one in spec.triggers:
        row = rows.get(one.key)
        seen = with_addresses and row is not None and row.http_handle
        address = f"{settings.MOBIUS_PUBLIC_URL}/v1/triggers/http/{row.http_handle}" if seen and row else ""
        yield ShownTrigger(spec=one, row=row, address=address)


def without_handles(authored: dict[str, Any]) -> dict[str, Any]:
    """The loop's JSON for people who may not start runs: a handle that its author chose is a secret as well."""
    triggers = [_without_handle(one) for one in authored.get("triggers") or []]
    return authored | {"triggers": triggers} if triggers else authored


def _without_handle(trigger: dict[str, Any]) -> dict[str, Any]:
    if not (trigger.get("config") or {}).get("http_handle"):
        return trigger
    return trigger | {"config": {"http_handle": "(hidden)"}}


@never_cache
@sensitive_variables("made")
@project_page(Permission.ADMINISTER)
@form_page
def trigger_secret(request: ProjectRequest, project: Project, loop_id: str, key: str) -> HttpResponse:
    """Demand signed calls: a page that asks, then the secret, once."""
    trigger = _find(project, loop_id, key)
    if request.method != "POST":
        return render(request, "loops/trigger_secret.html", {"loop": trigger.loop, "trigger": trigger})
    made = demand_signature(trigger, by=request.actor)
    context = {"loop": trigger.loop, "trigger": trigger, "made": made}
    return render(request, "loops/trigger_secret.html", context, status=201)


@project_page(Permission.ADMINISTER)
@require_POST
def trigger_unsigned(request: ProjectRequest, project: Project, loop_id: str, key: str) -> HttpResponse:
    take_unsigned(_find(project, loop_id, key), by=request.actor)
    return redirect("console:loop", project.handle, loop_id)


def _find(project: Project, loop_id: str, key: str) -> Trigger:
    try:
        return find_http_trigger(find_loop(project, loop_id), key)
    except NotFound as error:
        raise Http404(error.message) from None
