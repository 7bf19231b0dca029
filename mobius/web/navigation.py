"""The console's navigation as data, and the context that every page of it needs."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import SimpleLazyObject

from mobius.projects.models import Project

MOST_PROJECTS = 50
"""What the project switcher lists."""


@dataclass(frozen=True)
class Entry:
    """A link of the navigation; `url_name` takes the project's handle."""

    label: str
    icon: str
    url_name: str


@dataclass(frozen=True)
class Group:
    label: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Link:
    """An entry for one project; `current` is what aria-current says: page, true (a page below it) or nothing."""

    label: str
    icon: str
    url: str
    current: str


GROUPS = (
    Group("Build", (Entry("Loops", "loop", "console:loops"),)),
    Group(
        "Operate",
        (
            Entry("Runs", "run", "console:runs"),
            Entry("Push rows", "upload", "console:pushes"),
            Entry("Deliveries", "delivery", "console:deliveries"),
            Entry("Callbacks", "callback", "console:callbacks"),
        ),
    ),
    Group(
        "Govern",
        (
            Entry("Integrations", "plug", "console:integrations"),
            Entry("Webhooks", "send", "console:webhooks"),
            Entry("Alerts", "alert", "console:alerts"),
            Entry("API keys", "key", "console:api_keys"),
            Entry("Members", "members", "console:members"),
            Entry("Audit", "audit", "console:audit"),
        ),
    ),
)


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Context processor: `project`, `projects` and `navigation`, each computed only if a template asks."""
    access = getattr(request, "access", None)
    if access is None:
        return {"projects": SimpleLazyObject(lambda: projects_of(request))}
    return {
        "project": access.project,
        "access": access,
        "projects": SimpleLazyObject(lambda: projects_of(request)),
        "navigation": SimpleLazyObject(lambda: links(access.project.handle, request.path)),
    }


def projects_of(request: HttpRequest) -> list[Project]:
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return []
    return list(Project.objects.visible_to(user).order_by("handle")[:MOST_PROJECTS])


def links(handle: str, path: str) -> list[tuple[str, list[Link]]]:
    """The groups that have at least one page, each with its links."""
    return [(label, [_link(entry, handle, path) for entry in entries]) for label, entries in pages_that_exist()]


@functools.cache
def pages_that_exist() -> tuple[tuple[str, tuple[Entry, ...]], ...]:
    """The groups without the entries that this release has no page for."""
    groups = ((group.label, tuple(entry for entry in group.entries if _exists(entry))) for group in GROUPS)
    return tuple((label, entries) for label, entries in groups if entries)


def _exists(entry: Entry) -> bool:
    try:
        reverse(entry.url_name, args=["any"])
    except NoReverseMatch:
        return False
    return True


def _link(entry: Entry, handle: str, path: str) -> Link:
    url = reverse(entry.url_name, args=[handle])
    current = "page" if path == url else "true" if path.startswith(url) else ""
    return Link(entry.label, entry.icon, url, current)
