"""What needs a person, as the pages show it."""

from __future__ import annotations

from dataclasses import dataclass

from mobius.alerting.models import Alert
from mobius.alerting.watching import open_alerts
from mobius.alerting.wording import page_of
from mobius.projects.models import Project


@dataclass(frozen=True, kw_only=True)
class ShownAlert:
    """An open alert, and where something can be done."""

    alert: Alert
    page: str


def shown_alerts(project: Project) -> list[ShownAlert]:
    """The open ones, the latest first."""
    return [ShownAlert(alert=one, page=page_of(one)) for one in open_alerts(project)]
