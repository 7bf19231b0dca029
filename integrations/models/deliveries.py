"""What went out: every attempt at a row, and the ledger of what was sent."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Q

from integrations.models.connections import Integration, Webhook
from mobius.fields import id_field
from mobius.ids import ID_LENGTH, first_id
from mobius.indexes import by_another_index, one_of
from mobius.projects.models import Project


class AttemptState(models.TextChoices):
    """What became of one POST (design §4)."""

    SENDING = "sending", "Sending"  # committed before the socket opens
    ACCEPTED = "accepted", "Accepted"  # any 2xx: the row exists
    REFUSED = "refused", "Refused"  # a definite no: no row
    NOT_SENT = "not_sent", "Not sent"  # failed before the first byte: no row
    IN_DOUBT = "in_doubt", "In doubt"  # the row may exist; never sent again by itself
    ABANDONED = "abandoned", "Abandoned"  # a person decided that it did not arrive

    @classmethod
    def gone_wrong(cls) -> tuple[AttemptState, ...]:
        """Where a row does not exist, or may not. None of a usual day's rows ever comes to one of these."""
        return cls.REFUSED, cls.NOT_SENT, cls.IN_DOUBT, cls.ABANDONED

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
        """As `through`, for those whom another index serves better."""
        return by_another_index(self, "integration_id", integration_id)

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

    id = id_field("att")
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
            # By state without the one that most rows have, which the newest rows show.
            models.Index(
                fields=["state", "project", "id"],
                condition=one_of("state", [AttemptState.SENDING, *AttemptState.gone_wrong()]),
                name="attempts_not_accepted",
            ),
            models.Index(
                fields=["state", "integration", "id"],
                condition=one_of("state", AttemptState.gone_wrong()),
                name="attempts_gone_wrong",
            ),
        ]
        permissions = [("settle_attempt", "Can settle deliveries in doubt")]

    def __str__(self) -> str:
        return self.id

    @property
    def is_open(self) -> bool:
        return self.state in AttemptState.open()

    @property
    def asks_to_be_called_back(self) -> bool:
        """Is it a test whose row took along an address to call back? Then its `request_id` is its own id."""
        return self.kind == AttemptKind.TEST and self.request_id == self.pk


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
