"""Loops with their versions, their triggers and what made those fire: addresses hidden, bodies masked."""

from __future__ import annotations

import json
from typing import ClassVar

from django.contrib import admin
from django.db.models import Q
from django.utils.html import format_html
from django.utils.safestring import SafeString

from loops.console.triggers import without_handles
from loops.models import Loop, LoopVersion, Run, SourceEvent, SourceEventState, Trigger, TriggerSecret
from mobius.web.support.drawing import badge
from mobius.web.support.filters import Created, Pick, went_wrong
from mobius.web.support.linking import link, list_of
from mobius.web.support.reading import MOST_LINES, ReadingAdmin, ReadingInline, lines, masked, preformatted
from mobius.web.support.searching import Search
from mobius.web.templatetags.console import when


class TriggerInline(ReadingInline):
    model = Trigger
    not_in_lists = ("config", "http_handle")
    fields = ("key", "kind", "active", "next_fire_at", "last_fired_at")
    ordering = ("key",)


class PausedItself(Pick):
    title = "error"
    parameter_name = "error"
    picks: ClassVar = {"error": ("Paused after failures", ~Q(paused_because=""))}


@admin.register(Loop)
class LoopAdmin(ReadingAdmin):
    console = ("loop", "pk")
    list_display = ("id", "state", "name", "project", "paused_because", "created_at", "updated_at")
    list_select_related = ("project",)
    list_filter = ("status", PausedItself, Created)
    search = Search(ids=("pk", "name"), project="project", help="By exact id, name or project handle.")
    fields = (
        *("id", "project", "name", "state", "paused_because", "failures_in_a_row", "current_version"),
        *("created_at", "updated_at", "versions", "latest"),
    )
    inlines: ClassVar = [TriggerInline]
    state = badge("status")

    @admin.display(description="versions, latest first")
    def versions(self, loop: Loop) -> SafeString | str:
        latest = LoopVersion.objects.of_loop(loop).newest_first()[: MOST_LINES + 1]
        return lines(
            [(one.created_at, link(LoopVersion, one.pk, str(one))) for one in latest],
            "{} {}",
            all_of_them=list_of(LoopVersion, q=loop.pk),
        )

    @admin.display(description="latest runs")
    def latest(self, loop: Loop) -> SafeString | str:
        runs = Run.objects.latest_of(loop.pk)[: MOST_LINES + 1]
        return lines(
            [(one.created_at, link(Run, one.pk), one.get_status_display()) for one in runs],
            "{} {} {}",
            all_of_them=list_of(Run, q=loop.pk),
        )


@admin.register(LoopVersion)
class LoopVersionAdmin(ReadingAdmin):
    not_in_lists = ("spec",)
    console = ("loop_version", "loop_id", "number")
    owner = "loop.project"
    list_display = ("id", "loop", "number", "created_at")
    list_select_related = ("loop__project",)
    search = Search(of={"loop": "loop"}, help="By exact id or loop id.")
    fields = ("id", "loop", "number", "created_at", "authored")

    @admin.display(description="spec, addresses hidden")
    def authored(self, version: LoopVersion) -> SafeString:
        shown = json.dumps(without_handles(version.spec), ensure_ascii=False, indent=2)
        return format_html("<pre>{}</pre>", shown)  # whole: what is cut off may be what support looks for


@admin.register(Trigger)
class TriggerAdmin(ReadingAdmin):
    not_in_lists = ("config", "http_handle")
    console = ("loop", "loop_id")
    list_display = ("id", "project", "loop", "key", "kind", "active", "next_fire_at", "last_fired_at")
    list_select_related = ("project", "loop")
    list_filter = ("kind", "active", Created)
    search = Search(
        ids=("pk", "key"), of={"loop": "loop"}, project="project", help="By exact id, loop id, key or project handle."
    )
    fields = (
        *("id", "project", "loop", "key", "name", "kind", "active", "signed", "rotated_at", "config_without_handle"),
        *("next_fire_at", "event_type", "heard_loop"),
        *("last_fired_at", "last_run_link", "last_remark", "created_at", "firings"),
    )

    @admin.display(description="config, address hidden")
    def config_without_handle(self, trigger: Trigger) -> SafeString:
        shown = without_handles({"triggers": [{"config": trigger.config}]})["triggers"][0]["config"]
        return preformatted(json.dumps(shown, ensure_ascii=False, indent=2))

    @admin.display(description="signing secret last made")
    def rotated_at(self, trigger: Trigger) -> SafeString | str:
        return when(TriggerSecret.objects.filter(trigger=trigger).values_list("created_at", flat=True).first())

    @admin.display(description="listens to")
    def heard_loop(self, trigger: Trigger) -> SafeString | str:
        return link(Loop, trigger.source_loop)

    @admin.display(description="last run")
    def last_run_link(self, trigger: Trigger) -> SafeString | str:
        return link(Run, trigger.last_run)

    @admin.display(description="source events, latest first")
    def firings(self, trigger: Trigger) -> SafeString | str:
        latest = trigger.source_events.defer("event").order_by("-pk")[: MOST_LINES + 1]
        return lines(
            [(one.created_at, link(SourceEvent, one.pk), one.get_state_display(), one.remark) for one in latest],
            "{} {} {} {}",
            all_of_them=list_of(SourceEvent, q=trigger.pk),
        )


@admin.register(SourceEvent)
class SourceEventAdmin(ReadingAdmin):
    not_in_lists = ("event", "trigger__config", "trigger__http_handle")
    console = ("loop", "trigger.loop_id")
    list_display = ("id", "outcome", "project", "trigger", "run_id", "remark", "created_at")
    list_select_related = ("project", "trigger")
    list_filter = ("state", went_wrong("state", SourceEventState.REFUSED), Created)
    search = Search(
        elsewhere=lambda text: [Run.objects.filter(pk=text).exclude(source_event_id="").values_list("source_event_id")],
        of={"trg": "trigger"},
        help="By exact id, run id or trigger id.",
    )
    fields = (
        *("id", "project", "trigger", "cause", "outcome", "run", "remark", "depth", "due_at", "created_at"),
        "event_masked",
    )
    outcome = badge("state")

    @admin.display(description="run")
    def run(self, source_event: SourceEvent) -> SafeString | str:
        return link(Run, source_event.run_id)

    @admin.display(description="event of a pending one, masked")
    def event_masked(self, source_event: SourceEvent) -> SafeString:
        return preformatted(masked(source_event.event))
