"""Looks at what needs a person, and opens and closes alerts. Every ticker does, safe in parallel.

Several processes may see the same thing at the same moment. The database lets one of them open an alert, and an alert
is changed only as it was read; who loses tells nobody.
"""

from __future__ import annotations

import time
from datetime import datetime

from django.db import IntegrityError, transaction

from mobius.alerting.conditions import Finding, findings
from mobius.alerting.machine import News, Standing, follow
from mobius.alerting.models import Alert
from mobius.alerting.telling import tell
from mobius.projects.models import Project

EVERY_SECONDS = 30.0


class Watch:
    """Looks every half a minute."""

    def __init__(self) -> None:
        self._looks_at = 0.0

    def go_on(self, *, now: datetime) -> None:
        """Look, if it is time to. To be called every so often."""
        if time.monotonic() < self._looks_at:
            return
        self._looks_at = time.monotonic() + EVERY_SECONDS  # before: a look that fails must not be tried at every sweep
        look(now=now)


def look(*, now: datetime) -> None:
    """Compare what holds with the open alerts, and tell what is new."""
    found = {finding.key: finding for finding in findings(now)}
    for alert in Alert.objects.open().select_related("project"):
        _follow(alert, found.pop(alert.key, None), now)
    for finding in found.values():
        _open(finding, now)


@transaction.atomic
def take_stock(*, now: datetime) -> None:
    """This is a copy: what holds now was told by the original. Only what comes later is told here."""
    found = {finding.key: finding for finding in findings(now)}
    Alert.objects.open().update(closed_at=now, eased_to=None, eased_since=None)
    for finding in found.values():
        _new(finding, now).save(force_insert=True)


def open_alerts(project: Project) -> list[Alert]:
    """What needs a person in this project, the latest first."""
    alerts = list(Alert.objects.of_project(project).open().order_by("-pk"))
    for alert in alerts:
        alert.project = project
    return alerts


def _open(finding: Finding, now: datetime) -> None:
    alert = _new(finding, now)
    try:
        with transaction.atomic():
            alert.save(force_insert=True)
            tell(alert, News.OPENED, now=now)
    except IntegrityError:
        pass  # another process was quicker


def _new(finding: Finding, now: datetime) -> Alert:
    alert = Alert(
        project_id=finding.project_id,
        condition=finding.condition,
        object_id=finding.object_id,
        object_name=finding.object_name[:200],
        level=finding.level,
        opened_at=now,
    )
    _describe(alert, finding)
    return alert


def _describe(alert: Alert, finding: Finding) -> None:
    alert.summary, alert.detail, alert.to_do = finding.summary[:300], finding.detail[:1000], finding.to_do[:500]


def _follow(alert: Alert, finding: Finding | None, now: datetime) -> None:
    """Write down how the alert stands now, and tell what is news."""
    unchanged = Alert.objects.standing_as(alert)
    standing, news = follow(alert.standing, finding.level if finding else 0, now)
    same_words = finding is None or finding.summary == alert.summary
    if standing == alert.standing and same_words:
        return
    if finding is not None:
        _describe(alert, finding)
    _stand(alert, standing, now)
    with transaction.atomic():
        written = unchanged.update(
            level=alert.level,
            eased_to=alert.eased_to,
            eased_since=alert.eased_since,
            closed_at=alert.closed_at,
            summary=alert.summary,
            detail=alert.detail,
            to_do=alert.to_do,
        )
        if written and news is not None:
            tell(alert, news, now=now)


def _stand(alert: Alert, standing: Standing, now: datetime) -> None:
    """Level 0 is the end; how bad it was stays."""
    alert.eased_to, alert.eased_since = standing.eased_to, standing.eased_since
    if standing.level:
        alert.level = standing.level
    else:
        alert.closed_at = now
