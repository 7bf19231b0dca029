"""The pages of one integration, side by side as tabs with addresses of their own."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from integrations.console.finding import abilities
from integrations.console.showing import show
from integrations.models import Integration
from mobius.projects.roles import Permission
from mobius.web.access import ProjectRequest


class Tab(enum.StrEnum):
    """By the names of their addresses, from left to right. What went out and came back is known further up."""

    OVERVIEW = "integration"
    DELIVERIES = "integration_deliveries"
    CALLBACKS = "integration_callbacks"
    SETTINGS = "integration_settings"
    ACTIVITY = "integration_activity"

    @property
    def needs(self) -> Permission:
        return Permission.ADMINISTER if self == Tab.SETTINGS else Permission.READ


@dataclass(frozen=True, kw_only=True)
class Link:
    word: str
    url: str
    is_open: bool


def on_tab(tab: Tab, request: ProjectRequest, integration: Integration) -> dict[str, Any]:
    """What `integrations/one.html` draws around a page of `integration`."""
    return {"shown": show(integration), "tabs": _links(tab, request, integration), **abilities(request)}


def _links(open_tab: Tab, request: ProjectRequest, integration: Integration) -> list[Link]:
    return [
        Link(
            word=tab.name.capitalize(),
            url=reverse(f"console:{tab}", args=[request.access.project.handle, integration.pk]),
            is_open=tab == open_tab,
        )
        for tab in Tab
        if request.access.allows(tab.needs)
    ]
