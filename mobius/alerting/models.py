"""What is wrong and was noticed, who is told by e-mail, and what they were sent."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from mobius.alerting.conditions import Condition
from mobius.alerting.machine import News, Standing
from mobius.fields import id_field
from mobius.ids import ID_LENGTH
from mobius.projects.models import Membership, Project


class AlertQuerySet(models.QuerySet["Alert"]):
    def open(self) -> Self:
        return self.filter(closed_at=None)

    def of_project(self, project: Project) -> Self:
        return self.filter(project=project)

    def standing_as(self, alert: Alert) -> Self:
        """The alert, if nobody has changed it since it was read."""
        return self.open().filter(
            pk=alert.pk, level=alert.level, eased_to=alert.eased_to, eased_since=alert.eased_since
        )


class Alert(models.Model):
    """One condition of one thing, from when it was noticed until it is over."""

    id = id_field("alert")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="alerts", db_index=False)
    condition = models.CharField(max_length=30, choices=Condition.choices)
    object_id = models.CharField(max_length=ID_LENGTH)  # a plain id: this app knows neither integrations nor loops
    object_name = models.CharField(max_length=200, blank=True)  # empty: the project itself
    level = models.PositiveSmallIntegerField()  # how bad it is, as was told
    summary = models.CharField(max_length=300)
    detail = models.CharField(max_length=1000, blank=True)
    to_do = models.CharField(max_length=500)
    eased_to = models.PositiveSmallIntegerField(null=True, blank=True)  # it is less bad, or away (0); not yet believed
    eased_since = models.DateTimeField(null=True, blank=True)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)

    objects = AlertQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["condition", "object_id"], condition=Q(closed_at=None), name="one_open_alert_per_condition"
            ),
        ]
        indexes = [models.Index(fields=["project", "id"], name="alerts_by_project")]

    def __str__(self) -> str:
        return self.title

    @property
    def title(self) -> str:
        """What is wrong with what, in one line."""
        return f"{self.object_name}: {self.summary}" if self.object_name else self.summary

    @property
    def key(self) -> tuple[str, str]:
        return self.condition, self.object_id

    @property
    def standing(self) -> Standing:
        return Standing(level=self.level, eased_to=self.eased_to, eased_since=self.eased_since)

    @property
    def seems_over(self) -> bool:
        return self.eased_to == 0


class RecipientQuerySet(models.QuerySet["Recipient"]):
    def of_project(self, project: Project) -> Self:
        return self.filter(project=project).select_related("membership__user").order_by("pk")


class Recipient(models.Model):
    """An address that a project's alerts are mailed to. One that is a member's goes with the membership."""

    id = id_field("rcp")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="alert_recipients", db_index=False)
    membership = models.ForeignKey(Membership, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    address = models.EmailField()
    conditions = models.JSONField(default=list)  # those it is told of; empty: none, it is switched off
    created_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()

    objects = RecipientQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint("project", Lower("address"), name="one_recipient_per_address"),
        ]

    def __str__(self) -> str:
        return self.address

    @property
    def member(self) -> str:
        """The user name of the member whose address it is; "" when it is nobody's of the project."""
        return self.membership.user.get_username() if self.membership else ""

    def wants(self, condition: str) -> bool:
        return condition in self.conditions


class MailKind(models.TextChoices):
    """What a mail says."""

    OPENED = News.OPENED.value, "Alert"
    WORSENED = News.WORSENED.value, "Got worse"
    CLOSED = News.CLOSED.value, "Over"
    TEST = "test", "Test"


class MailState(models.TextChoices):
    """What became of a mail."""

    PENDING = "pending", "Waiting"  # for its next attempt
    PROCESSING = "processing", "Sending"  # an attempt is under way, or its process died
    SENT = "sent", "Sent"  # the mail server took it
    FAILED = "failed", "Failed"  # refused for good, or the attempts were in vain


class MailQuerySet(models.QuerySet["Mail"]):
    def due(self, now: datetime) -> Self:
        """What is to be sent, the longest due first. The condition of the partial index comes with it."""
        return self.filter(due_at__lte=now).order_by("due_at")

    def unfinished(self) -> Self:
        return self.filter(due_at__isnull=False)

    def without_texts(self) -> Self:
        return self.defer("text")

    def to_purge(self, before: datetime) -> Self:
        return self.filter(created_at__lt=before, due_at=None).exclude(text="")


class Mail(models.Model):
    """One e-mail about an alert to one recipient. Sent at least once, always under the same Message-ID."""

    id = id_field("mail")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+", db_index=False)
    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, null=True, related_name="mails")  # a test has none
    recipient = models.ForeignKey(Recipient, on_delete=models.SET_NULL, null=True, related_name="mails")
    address = models.EmailField()  # as it was when this was written
    kind = models.CharField(max_length=10, choices=MailKind.choices)
    subject = models.CharField(max_length=200)
    text = models.TextField(blank=True)  # as the world was when it happened
    state = models.CharField(max_length=10, choices=MailState.choices, default=MailState.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)  # counted before each begins
    due_at = models.DateTimeField(null=True, blank=True)  # of the next attempt; empty: it is done with
    last_error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)

    objects = MailQuerySet.as_manager()

    class Meta:
        verbose_name = "alert mail"
        indexes = [
            models.Index(fields=["project", "id"], name="alert_mails_by_project"),
            models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="alert_mails_due"),
        ]
        permissions = [("resend_mail", "Can send alert mails again")]

    def __str__(self) -> str:
        return self.subject

    @property
    def under_way(self) -> bool:
        """Will what becomes of it be known in a moment? Not so between two attempts."""
        return self.due_at is not None and (self.attempts == 0 or self.state == MailState.PROCESSING)
