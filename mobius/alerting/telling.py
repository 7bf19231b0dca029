"""News of an alert, written down for everybody who is to be told, with it and in its transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings

from mobius.alerting.machine import News
from mobius.alerting.models import Alert, Mail, MailKind, MailState, Recipient
from mobius.alerting.wording import address_of, page_of, subject_of, text_of
from mobius.api.serializing import timestamp
from mobius.notifying import telling
from mobius.projects.models import Project

NO_MAIL_SERVER = "No mail server is set: whoever runs this console sets EMAIL_URL and restarts it."


def tell(alert: Alert, news: News, *, now: datetime) -> None:
    """Mails to the recipients who want to know, and notifications to endpoints. They are sent soon after.

    That it is over is told to those who were told that it began.
    """
    if alert.project.deleted_at is not None:
        return
    subject, text = subject_of(alert, news), text_of(alert, news)
    for recipient in _recipients(alert, news):
        write(alert.project, recipient, MailKind(news.value), subject=subject, text=text, alert=alert, now=now)
    telling.tell(
        project_id=alert.project_id, event_type=f"alert.{news.value}", run_id="", data=alert_json(alert), now=now
    )


def write(
    project: Project,
    recipient: Recipient,
    kind: MailKind,
    *,
    subject: str,
    text: str,
    now: datetime,
    alert: Alert | None,
) -> Mail:
    """A mail that is sent soon; without a mail server it has failed already."""
    sends = settings.MOBIUS_SENDS_MAIL
    return Mail.objects.create(
        project=project,
        alert=alert,
        recipient=recipient,
        address=recipient.address,
        kind=kind,
        subject=subject,
        text=text,
        state=MailState.PENDING if sends else MailState.FAILED,
        due_at=now if sends else None,
        last_error="" if sends else NO_MAIL_SERVER,
        created_at=now,
    )


def alert_json(alert: Alert) -> dict[str, Any]:
    """An alert as endpoints and `/v1` show it."""
    return {
        "id": alert.pk,
        "condition": alert.condition,
        "object_id": alert.object_id,
        "object_name": alert.object_name,
        "level": alert.level,
        "summary": alert.summary,
        "detail": alert.detail,
        "to_do": alert.to_do,
        "url": address_of(page_of(alert)),
        "opened_at": timestamp(alert.opened_at),
        "closed_at": timestamp(alert.closed_at),
    }


def _recipients(alert: Alert, news: News) -> list[Recipient]:
    wanting = [one for one in Recipient.objects.of_project(alert.project) if one.wants(alert.condition)]
    if news != News.CLOSED:
        return wanting
    told = set(Mail.objects.filter(alert=alert).values_list("recipient", flat=True))
    return [one for one in wanting if one.pk in told]
