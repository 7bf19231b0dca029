"""The site of Django admin: which console this is, and on its first page what needs somebody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.admin import AdminSite
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse

from mobius.web.support.linking import EMPTY, list_of

MOST_COUNTED = 1000
"""Further nobody counts: beyond it the page says "more than"."""
_PRODUCTION = ("production", "prod", "live")


@dataclass(frozen=True, kw_only=True)
class Counter:
    """How many there are that need somebody, and where they are listed."""

    label: str
    model: type[Model]
    rows: Callable[[], QuerySet[Any]]
    query: dict[str, str]  # the filters of the list

    def counted(self) -> dict[str, str | bool]:
        number = len(self.rows().order_by().values_list("pk", flat=True)[: MOST_COUNTED + 1])
        words = f"{number:,}" if number <= MOST_COUNTED else f"more than {MOST_COUNTED:,}"
        return {"label": self.label, "number": words, "calm": not number, "url": list_of(self.model, **self.query)}

    @property
    def permission(self) -> str:
        return f"{self.model._meta.app_label}.view_{self.model._meta.model_name}"


_counters: list[Counter] = []


def count(counter: Counter) -> None:
    """From now on the first page shows this number, too."""
    _counters.append(counter)


class SupportSite(AdminSite):
    """Django's own, with the name of this environment in its header and counters on its first page."""

    index_title = "Support"
    index_template = "admin/support.html"
    enable_nav_sidebar = False  # a list of runs needs the width
    empty_value_display = EMPTY

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        environment = settings.MOBIUS_ENVIRONMENT
        self.site_header = self.site_title = f"Mobius console · {environment}" if environment else "Mobius console"

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        return super().each_context(request) | {"is_production": settings.MOBIUS_ENVIRONMENT.lower() in _PRODUCTION}

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        seen = [counter for counter in _counters if request.user.has_perm(counter.permission)]
        return super().index(request, {"counters": [one.counted() for one in seen], **(extra_context or {})})
