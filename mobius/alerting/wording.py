"""What a mail about an alert says."""

from __future__ import annotations

from django.conf import settings
from django.urls import reverse

from mobius.alerting.conditions import Condition
from mobius.alerting.machine import News
from mobius.alerting.models import Alert
from mobius.projects.models import Project

LONGEST_SUBJECT = 180
_PAGES = {
    Condition.BUDGET: "console:integration",
    Condition.INTEGRATION: "console:integration",
    Condition.LOOP_PAUSED: "console:loop",
    Condition.CALLBACKS_OVERDUE: "console:callbacks_overdue",
    Condition.ROWS_IN_DOUBT: "console:deliveries",
}
_OF_ONE_THING = ("console:integration", "console:loop")


def page_of(alert: Alert) -> str:
    """The path of the page where something can be done."""
    name = _PAGES[Condition(alert.condition)]
    if name in _OF_ONE_THING:
        return reverse(name, args=[alert.project.handle, alert.object_id])
    path = reverse(name, args=[alert.project.handle])
    return f"{path}?state=in_doubt" if alert.condition == Condition.ROWS_IN_DOUBT else path


def address_of(path: str) -> str:
    """The whole address of a page of this console, for those who are elsewhere."""
    return f"{settings.MOBIUS_PUBLIC_URL}{path}"


def subject_of(alert: Alert, news: News) -> str:
    over = "Over: " if news == News.CLOSED else ""
    return _in_one_line(f"[{alert.project.handle}] {over}{alert.title}")


def text_of(alert: Alert, news: News) -> str:
    if news == News.CLOSED:
        assert alert.closed_at is not None  # that is the news
        told = [
            f"{alert.title}.",
            f"It is over: {alert.opened_at:%d %b %Y, %H:%M} to {alert.closed_at:%H:%M, %d %b} UTC.",
        ]
        told += ["There is nothing left to do.", address_of(page_of(alert))]
    else:
        told = [f"{alert.title}.", *([alert.detail] if alert.detail else [])]
        told += [f"Noticed {alert.opened_at:%d %b %Y, %H:%M} UTC."]
        told += [f"What to do: {alert.to_do}\n{address_of(page_of(alert))}"]
    return _letter(alert.project, told)


def subject_of_test(project: Project) -> str:
    return _in_one_line(f"[{project.handle}] Test: alerts reach you here")


def text_of_test(project: Project, *, by: str) -> str:
    told = [f"{by} has sent this test.", "When something needs a person, you get one mail, and one when it is over."]
    return _letter(project, told)


def _letter(project: Project, paragraphs: list[str]) -> str:
    alerts = address_of(reverse("console:alerts", args=[project.handle]))
    end = f"-- \nProject {project.name} ({project.handle}). Who gets which alerts:\n{alerts}\n"
    return "\n\n".join([*paragraphs, end])


def _in_one_line(text: str) -> str:
    """Names come from people: none of them may begin another header, or fill the subject with what cannot be seen."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return line if len(line) <= LONGEST_SUBJECT else f"{line[: LONGEST_SUBJECT - 1]}…"
