"""Where rows go: an integration, its webhooks with their secrets, and the pace of its workspace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from django.db import models
from django.db.models import Case, F, Q, When

from integrations.secrets import SecretTextField
from mobius.fields import id_field
from mobius.ids import ID_LENGTH
from mobius.projects.models import Project


class Pacer(models.Model):
    """The shared rate of one Clay workspace, as a generic cell rate (design §4).

    `tat` is the theoretical arrival time of the next row, in seconds since 1970: a send is allowed once it has passed.
    """

    id = id_field("pac")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="pacers")
    label = models.CharField(
        max_length=100, help_text="The Clay workspace; integrations with one label share its pace."
    )
    rate_per_second = models.FloatField(null=True, blank=True, help_text="Empty: unpaced.")
    burst = models.PositiveIntegerField(default=18)
    tat = models.FloatField(default=0, editable=False)
    held_until = models.FloatField(default=0, editable=False)  # after a 429, by everybody in the group

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "label"], name="one_pacer_per_workspace")]

    def __str__(self) -> str:
        return self.label


class IntegrationStatus(models.TextChoices):
    """Mobius's words (mobius-contract §4.2)."""

    ACTIVE = "active", "Active"  # usable
    INACTIVE = "inactive", "Paused"  # by a person, or by us: then `attention` says why
    EXPIRED = "expired", "Needs reconnect"  # its secret is gone or cannot be read


class IntegrationQuerySet(models.QuerySet["Integration"]):
    def needing_a_person(self) -> Self:
        """Flagged or paused by the console, or unusable; what is held since a restore is another matter."""
        present = self.filter(project__deleted_at=None, held_since=None)
        return present.filter(~Q(attention="") | Q(status=IntegrationStatus.EXPIRED))


class Integration(models.Model):
    """A project's stored connection to a provider."""

    id = id_field("intg")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="integrations")
    name = models.CharField(max_length=100)
    provider = models.CharField(max_length=50)  # a folder's name, never `choices`: a provider needs no migration
    status = models.CharField(max_length=16, choices=IntegrationStatus.choices, default=IntegrationStatus.ACTIVE)
    attention = models.CharField(max_length=500, blank=True, help_text="What a person should look at, if anything.")
    # This copy of the database was restored from a backup: nobody but a person's Resume may let rows go out again.
    held_since = models.DateTimeField(null=True, blank=True)
    pacer = models.ForeignKey(Pacer, on_delete=models.RESTRICT, related_name="integrations")
    never_twice = models.BooleanField("never send a row twice", default=True)
    deduplicates = models.BooleanField("this table deduplicates request_id", default=False)
    wait_at_limit = models.BooleanField("wait at the limit", default=False)
    tags = models.JSONField(default=dict, blank=True)
    created_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = IntegrationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "provider", "name"], name="one_integration_per_name"),
        ]
        permissions = [
            ("pause_integration", "Can pause integrations"),
            ("resume_integration", "Can resume integrations"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def usable(self) -> bool:
        return self.status == IntegrationStatus.ACTIVE

    @property
    def held(self) -> bool:
        """Does nothing go out since a restore, until somebody resumes it?"""
        return self.held_since is not None


class WebhookState(models.TextChoices):
    CURRENT = "current", "Current"  # rows go here
    STAGED = "staged", "Staged"  # tested, takes over at the limit
    RETIRED = "retired", "Retired"  # kept for its count and its log


class WebhookQuerySet(models.QuerySet["Webhook"]):
    def current_of(self, integration: Integration) -> Webhook | None:
        return self.filter(integration=integration, state=WebhookState.CURRENT).first()

    def staged_for(self, integration: Integration) -> Webhook | None:
        return self.filter(integration=integration, state=WebhookState.STAGED).first()

    def by_place(self, integrations: Sequence[Integration]) -> dict[tuple[str, str], Webhook]:
        """The current and the staged webhook of each integration, by the integration's id and the state."""
        in_use = self.filter(integration__in=integrations).exclude(state=WebhookState.RETIRED)
        return {(str(webhook.integration_id), webhook.state): webhook for webhook in in_use}

    def usable_in(self, project_id: str) -> Self:
        """Those that a test may be sent to."""
        return self.filter(integration__project=project_id, state__in=[WebhookState.CURRENT, WebhookState.STAGED])

    def history_of(self, integration: Integration) -> Self:
        """Every webhook that the integration has, or had: those in use, then the others, the newest first."""
        is_retired = Case(When(state=WebhookState.RETIRED, then=1), default=0)
        return self.filter(integration=integration).order_by(is_retired, "-id")

    def in_line(self, integration_id: str | None) -> Self:
        """The current webhook and the staged one, held until the end of the transaction where rows can be locked."""
        in_line = self.filter(integration_id=integration_id, state__in=[WebhookState.CURRENT, WebhookState.STAGED])
        return in_line.order_by("id").select_for_update(no_key=True)

    def half_used(self) -> Self:
        """Where rows go whose budget is half gone, or more, with their integrations."""
        current = self.filter(state=WebhookState.CURRENT, integration__project__deleted_at=None)
        half = current.filter(integration__isnull=False, submission_limit__isnull=False)
        return half.filter(used__gte=F("submission_limit") / 2).select_related("integration")

    def current_in(self, project: Project) -> Self:
        """Where the rows of a project go, with their integrations, by name."""
        current = self.filter(integration__project=project, state=WebhookState.CURRENT)
        return current.select_related("integration").order_by("integration__name", "integration_id")


class Webhook(models.Model):
    """One webhook source: an address with a lifetime limit of its own. Its address and token are in WebhookSecret."""

    id = id_field("src")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="webhook_sources")
    # Disconnecting deletes the integration and the secret; the count stays, for Clay does not forget it either.
    integration = models.ForeignKey(
        Integration, on_delete=models.SET_NULL, null=True, blank=True, related_name="webhooks"
    )
    state = models.CharField(max_length=16, choices=WebhookState.choices, default=WebhookState.CURRENT)
    url_fingerprint = models.CharField(max_length=64, editable=False)
    url_scheme = models.CharField(max_length=5, default="https")
    url_host = models.CharField(max_length=255)
    url_last4 = models.CharField(max_length=4)
    auth_header_name = models.CharField(max_length=64, blank=True)
    destination = models.CharField(max_length=ID_LENGTH)  # shared by successors: the log and the ledger span them
    submission_limit = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: unlimited (passthrough).")
    used = models.PositiveIntegerField(default=0)  # accepted and in doubt
    in_flight = models.PositiveIntegerField(default=0)
    refusals_in_a_row = models.PositiveIntegerField(default=0)
    last_success_at = models.DateTimeField(null=True, blank=True)
    last_failure_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = WebhookQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "url_fingerprint"], name="one_webhook_per_address"),
            models.UniqueConstraint(
                fields=["integration"], condition=Q(state="current"), name="one_current_webhook_per_integration"
            ),
            models.UniqueConstraint(
                fields=["integration"], condition=Q(state="staged"), name="one_staged_webhook_per_integration"
            ),
        ]

    def __str__(self) -> str:
        return self.masked_url

    @property
    def ready(self) -> bool:
        """May this staged webhook take over? Only once a test of it has succeeded."""
        return self.state == WebhookState.STAGED and self.last_success_at is not None

    @property
    def full(self) -> bool:
        """Has it taken all the rows that it takes for life?"""
        return self.submission_limit is not None and self.used >= self.submission_limit

    @property
    def masked_url(self) -> str:
        """Scheme, host and last four characters: all of the address that is shown after connecting."""
        return f"{self.url_scheme}://{self.url_host}/…{self.url_last4}"


class WebhookSecret(models.Model):
    """What opens a webhook. In a table of its own, so that no list and no join ever loads it."""

    webhook = models.OneToOneField(Webhook, on_delete=models.CASCADE, primary_key=True, related_name="secret")
    url = SecretTextField()
    auth_header_value = SecretTextField(default="")
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"secret of {self.webhook_id}"


class KeyCheck(models.Model):
    """One row that only the right FIELD_ENCRYPTION_KEY can read; a start with another key is refused."""

    proof = SecretTextField()

    def __str__(self) -> str:
        return "key check"
