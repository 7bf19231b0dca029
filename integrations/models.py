"""What we know of outside services: integrations, their webhooks, and every row that went out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Self

from django.db import connection, models
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Coalesce

from integrations.secrets import SecretTextField
from mobius.ids import ID_LENGTH, first_id, new_id
from mobius.projects.models import Project


def _id_field(prefix: str) -> models.CharField[str, str]:
    return models.CharField(primary_key=True, max_length=ID_LENGTH, default=partial(new_id, prefix), editable=False)


class Pacer(models.Model):
    """The shared rate of one Clay workspace, as a generic cell rate (design §4).

    `tat` is the theoretical arrival time of the next row, in seconds since 1970: a send is allowed once it has passed.
    """

    id = _id_field("pac")
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

    id = _id_field("intg")
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

    id = _id_field("src")
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


class AttemptState(models.TextChoices):
    """What became of one POST (design §4)."""

    SENDING = "sending", "Sending"  # committed before the socket opens
    ACCEPTED = "accepted", "Accepted"  # any 2xx: the row exists
    REFUSED = "refused", "Refused"  # a definite no: no row
    NOT_SENT = "not_sent", "Not sent"  # failed before the first byte: no row
    IN_DOUBT = "in_doubt", "In doubt"  # the row may exist; never sent again by itself
    ABANDONED = "abandoned", "Abandoned"  # a person decided that it did not arrive

    @classmethod
    def open(cls) -> tuple[AttemptState, ...]:
        """States whose outcome may still be recorded."""
        return cls.SENDING, cls.IN_DOUBT

    @property
    def is_without_a_row(self) -> bool:
        return self in (AttemptState.REFUSED, AttemptState.NOT_SENT, AttemptState.ABANDONED)

    @property
    def holds_a_unit(self) -> bool:
        """Does this attempt count against the webhook's limit once it is no longer in flight?"""
        return self in (AttemptState.ACCEPTED, AttemptState.IN_DOUBT)


class AttemptKind(models.TextChoices):
    RUN = "run", "Run"  # a step of a run
    INVOKE = "invoke", "Invoke"  # the action called directly
    TEST = "test", "Test"  # a test of the connection


class AttemptQuerySet(models.QuerySet["Attempt"]):
    def sending(self) -> Self:
        return self.filter(state=AttemptState.SENDING)

    def in_doubt(self) -> Self:
        return self.filter(state=AttemptState.IN_DOUBT)

    def of_run(self, run_id: str) -> Self:
        return self.filter(run_id=run_id).order_by("id")

    def outside_runs(self) -> Self:
        """Tests of a connection, and calls of an action by itself."""
        return self.filter(run_id="")

    def calls_in(self, project: Project) -> Self:
        """What was called, by runs and directly, and has an outcome; tests of a connection are none."""
        called = self.filter(project=project, kind__in=[AttemptKind.RUN, AttemptKind.INVOKE])
        return called.exclude(state=AttemptState.SENDING)

    def of_step(self, run_id: str, step_id: str) -> Self:
        return self.of_run(run_id).filter(step_id=step_id)

    def arrived(self, project_id: str, request_id: str) -> Self:
        """Rows of runs that exist, or may exist, under `request_id`; oldest first."""
        there = [AttemptState.SENDING, AttemptState.ACCEPTED, AttemptState.IN_DOUBT]
        sent = self.filter(project_id=project_id, kind=AttemptKind.RUN, state__in=there)
        return sent.sent_under(request_id).order_by("id")

    def states_by_run(self, run_ids: Iterable[str]) -> dict[str, set[str]]:
        """The states of all attempts of each of these runs."""
        found: dict[str, set[str]] = {}
        for run_id, state in self.filter(run_id__in=list(run_ids)).values_list("run_id", "state"):
            found.setdefault(run_id, set()).add(state)
        return found

    def of_project(self, project: Project) -> Self:
        return self.filter(project=project)

    def through(self, integration: Integration) -> Self:
        return self.filter(integration=integration)

    def known_by_others_to_be_through(self, integration_id: str) -> Self:
        """As `through`, for those whom another index serves better.

        PostgreSQL tells by its statistics. SQLite has none, and takes the index of integrations unless it is given an
        expression.
        """
        if connection.vendor == "postgresql":
            return self.filter(integration=integration_id)
        return self.alias(sent_through=Coalesce("integration_id", Value(""))).filter(sent_through=integration_id)

    def in_state(self, state: str) -> Self:
        return self.filter(state=state)

    def sent_under(self, request_id: str) -> Self:
        """That it is not empty lets the partial index answer."""
        return self.filter(request_id=request_id).exclude(request_id="")

    def sent_for(self, external_id: str) -> Self:
        """That it is not empty lets the partial index answer."""
        return self.filter(external_id=external_id).exclude(external_id="")

    def with_destination(self) -> Self:
        return self.select_related("integration", "webhook")

    def made_since(self, moment: datetime) -> Self:
        """Rows that exist, or may exist, since `moment`."""
        return self.begun_since(moment, [state for state in AttemptState if state.holds_a_unit])

    def begun_since(self, moment: datetime, states: Iterable[AttemptState]) -> Self:
        """Ids know the time, and the index of states and ids answers by itself."""
        return self.filter(id__gte=first_id("att", moment), state__in=list(states))

    def made_before(self, moment: datetime) -> Self:
        """Ids know the time, so that an index that ends in them answers by itself."""
        return self.filter(id__lt=first_id("att", moment))

    def without_bodies(self) -> Self:
        return self.defer("body", "response")

    def to_purge(self, before: datetime) -> Self:
        """Attempts whose outcome is known, made before `before`, that still have a body.

        What is on its way or in doubt keeps its body: somebody must still look for that row.
        """
        settled = self.filter(created_at__lt=before).exclude(state__in=AttemptState.open())
        return settled.exclude(body="", response="")


class Attempt(models.Model):
    """One POST that may create a row, written down before it leaves."""

    id = _id_field("att")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="attempts", db_index=False)
    integration = models.ForeignKey(
        Integration, on_delete=models.SET_NULL, null=True, blank=True, related_name="attempts", db_index=False
    )
    webhook = models.ForeignKey(Webhook, on_delete=models.RESTRICT, related_name="attempts", db_index=False)
    kind = models.CharField(max_length=8, choices=AttemptKind.choices, default=AttemptKind.RUN)
    # Plain ids: this app does not know what a run is.
    run_id = models.CharField(max_length=ID_LENGTH, blank=True, db_index=True)
    step_id = models.CharField(max_length=160, blank=True)
    number = models.PositiveIntegerField(default=1)  # counts the attempts of one step
    action = models.CharField(max_length=100)
    state = models.CharField(max_length=16, choices=AttemptState.choices, default=AttemptState.SENDING)
    request_id = models.CharField(max_length=255, blank=True)
    external_id = models.CharField(max_length=255, blank=True)
    body = models.TextField(blank=True)  # as sent, but for a callback's address, which stays a placeholder
    body_digest = models.CharField(max_length=64)
    body_size = models.PositiveIntegerField()
    status_code = models.PositiveSmallIntegerField(null=True, blank=True)
    response = models.TextField(blank=True)  # what Clay answered, scrubbed and cut to 64 KiB
    failure = models.CharField(max_length=20, blank=True)
    error_message = models.CharField(max_length=1000, blank=True)
    latency_ms = models.PositiveIntegerField(null=True, blank=True)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = AttemptQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["project", "id"], name="attempts_by_project"),
            models.Index(fields=["integration", "id"], name="attempts_by_integration"),
            models.Index(fields=["webhook", "state", "id"], name="attempts_by_state"),  # what is counted
            # Partial, so that they grow with what they are for. A query is answered by one only when it repeats the
            # condition in the very same words; the querysets above do.
            models.Index(
                fields=["project", "request_id", "id"], condition=~Q(request_id=""), name="attempts_by_request_id"
            ),
            models.Index(
                fields=["project", "external_id", "id"], condition=~Q(external_id=""), name="attempts_by_external_id"
            ),
            models.Index(fields=["id"], condition=Q(state="sending"), name="attempts_sending"),
            models.Index(fields=["project", "id"], condition=Q(state="in_doubt"), name="attempts_in_doubt"),
        ]
        permissions = [("settle_attempt", "Can settle deliveries in doubt")]

    def __str__(self) -> str:
        return self.id

    @property
    def is_open(self) -> bool:
        return self.state in AttemptState.open()


class LedgerEntry(models.Model):
    """This row was sent, or is being sent, to this destination. Outlives the purge of bodies."""

    destination = models.CharField(max_length=ID_LENGTH)
    request_id = models.CharField(max_length=255)
    body_digest = models.CharField(max_length=64)
    attempt = models.OneToOneField(Attempt, on_delete=models.RESTRICT, related_name="ledger_entry")
    created_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "ledger entries"
        constraints = [
            models.UniqueConstraint(
                fields=["destination", "request_id", "body_digest"], name="one_ledger_entry_per_row"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.request_id} to {self.destination}"
