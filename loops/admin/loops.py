"""Loops with their versions, their triggers and what made those fire: addresses hidden, bodies masked."""

from __future__ import annotations

import json
from typing import ClassVar

from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString

from loops.console.triggers import without_handles
from loops.models import Loop, LoopVersion, Run, SourceEvent, Trigger
from mobius.projects.admin_reading import MOST_LINES, ReadingAdmin, ReadingInline, lines, link, masked, preformatted


class LoopVersionInline(ReadingInline):
    model = LoopVersion
    not_in_lists = ("spec",)
    fields = ("number", "created_at")
    ordering = ("-number",)


class TriggerInline(ReadingInline):
    model = Trigger
    not_in_lists = ("config", "http_handle")
    fields = ("key", "kind", "active", "next_fire_at", "last_fired_at")
    ordering = ("key",)


@admin.register(Loop)
class LoopAdmin(ReadingAdmin):
    list_display = ("name", "project", "status", "id", "created_at", "updated_at")
    list_select_related = ("project", "current_version")
    list_filter = ("status", "created_at")
    search_fields = ("id__exact", "name__exact", "project__handle__exact")
    search_help_text = "By exact id, name or project handle."
    fields = ("id", "project", "name", "status", "current_version", "created_at", "updated_at")
    inlines: ClassVar = [TriggerInline, LoopVersionInline]


@admin.register(LoopVersion)
class LoopVersionAdmin(ReadingAdmin):
    not_in_lists = ("spec",)
    list_display = ("id", "loop", "number", "created_at")
    list_select_related = ("loop",)
    search_fields = ("id__exact", "loop__id__exact")
    search_help_text = "By exact id or loop id."
    fields = ("id", "loop", "number", "created_at", "authored")

    @admin.display(description="spec, addresses hidden")
    def authored(self, version: LoopVersion) -> SafeString:
        shown = json.dumps(without_handles(version.spec), ensure_ascii=False, indent=2)
        return format_html("<pre>{}</pre>", shown)  # whole: what is cut off may be what support looks for


@admin.register(Trigger)
class TriggerAdmin(ReadingAdmin):
    not_in_lists = ("config", "http_handle")
    list_display = ("id", "project", "loop", "key", "kind", "active", "next_fire_at", "last_fired_at")
    list_select_related = ("project", "loop")
    list_filter = ("kind", "active", "created_at")
    search_fields = ("id__exact", "loop__id__exact", "key__exact", "project__handle__exact")
    search_help_text = "By exact id, loop id, key or project handle."
    fields = (
        *("id", "project", "loop", "key", "name", "kind", "active", "signed", "config_without_handle"),
        *("next_fire_at", "event_type", "heard_loop"),
        *("last_fired_at", "last_run_link", "last_remark", "created_at", "firings"),
    )

    @admin.display(description="config, address hidden")
    def config_without_handle(self, trigger: Trigger) -> SafeString:
        shown = without_handles({"triggers": [{"config": trigger.config}]})["triggers"][0]["config"]
        return preformatted(json.dumps(shown, ensure_ascii=False, indent=2))

    @admin.display(description="listens to")
    def heard_loop(self, trigger: Trigger) -> SafeString | str:
        return link(Loop, trigger.source_loop)

    @admin.display(description="last run")
    def last_run_link(self, trigger: Trigger) -> SafeString | str:
        return link(Run, trigger.last_run)

    @admin.display(description="source events, latest first")
    def firings(self, trigger: Trigger) -> SafeString | str:
        latest = trigger.source_events.defer("event").order_by("-pk")[:MOST_LINES]
        return lines(
            [(one.created_at, link(SourceEvent, one.pk), one.get_state_display(), one.remark) for one in latest],
            "{} {} {} {}",
        )


@admin.register(SourceEvent)
class SourceEventAdmin(ReadingAdmin):
    not_in_lists = ("event", "trigger__config", "trigger__http_handle")
    list_display = ("id", "project", "trigger", "state", "run_id", "remark", "created_at")
    list_select_related = ("project", "trigger")
    list_filter = ("state", "created_at")
    search_fields = ("id__exact", "trigger__id__exact")
    search_help_text = "By exact id or trigger id."
    fields = (
        *("id", "project", "trigger", "cause", "state", "run", "remark", "depth", "due_at", "created_at"),
        "event_masked",
    )

    @admin.display(description="run")
    def run(self, source_event: SourceEvent) -> SafeString | str:
        return link(Run, source_event.run_id)

    @admin.display(description="event of a pending one, masked")
    def event_masked(self, source_event: SourceEvent) -> SafeString:
        return preformatted(masked(source_event.event))
