"""The pages of one integration, side by side as tabs with addresses of their own."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from integrations.console.finding import abilities
from integrations.console.showing import Connected, show
from integrations.models import Integration
from mobius.projects.roles import Permission
from mobius.web.access import ProjectRequest


class Tab(enum.StrEnum):
    """By the names of their addresses, from left to right. What went out and came back is known further up."""

    OVERVIEW = "integration"
    DELIVERIES = "integration_deliveries"
    CALLBACKS = "integration_callbacks"
    RECIPE = "integration_recipe"
    SETTINGS = "integration_settings"
    ACTIVITY = "integration_activity"

    def is_for(self, request: ProjectRequest, integration: Connected) -> bool:
        match self:
            case Tab.RECIPE:
                return integration.provider.recipes is not None
            case Tab.SETTINGS:
                return request.access.allows(Permission.ADMINISTER)
        return True


@dataclass(frozen=True, kw_only=True)
class Link:
    word: str
    url: str
    is_open: bool


def on_tab(tab: Tab, request: ProjectRequest, integration: Integration) -> dict[str, Any]:
    """What `integrations/one.html` draws around a page of `integration`."""
    shown = show(integration)
    return {"shown": shown, "tabs": _links(tab, request, shown), **abilities(request)}


def _links(open_tab: Tab, request: ProjectRequest, shown: Connected) -> list[Link]:
    return [
        Link(
            word=tab.name.capitalize(),
            url=reverse(f"console:{tab}", args=[request.access.project.handle, shown.integration.pk]),
            is_open=tab == open_tab,
        )
        for tab in Tab
        if tab.is_for(request, shown)
    ]
