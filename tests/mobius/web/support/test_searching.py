"""Searches by whole ids: each kind of id finds its rows, from an index, and nothing is searched within a text."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from integrations.models import Attempt, Integration, LedgerEntry, Webhook
from loops.models import Callback, LoopVersion, PushRow, Run, RunEvent, SourceEvent, Step, Wait
from mobius.notifying.models import Notification
from mobius.projects.key_models import ApiKey
from mobius.projects.models import AuditEvent, Project
from mobius.web.support import searching
from tests.mobius.web.support.doors import page


@pytest.fixture
def known(secrets_planted: list[str]) -> dict[str, str]:
    """The ids of one run and of what belongs to it."""
    run, attempt = Run.objects.get(), Attempt.objects.get()
    Run.objects.update(idempotency_key="order 7")
    Attempt.objects.update(external_id="lead-1")
    Callback.objects.update(request_id=attempt.request_id)
    return {
        "run": run.pk,
        "loop": run.loop_id,
        "key": "order 7",
        "attempt": attempt.pk,
        "request_id": attempt.request_id,
        "external_id": "lead-1",
        "step": attempt.step_id,
        "destination": Webhook.objects.get().destination,
        "fingerprint": Webhook.objects.get().url_fingerprint,
        "endpoint": Notification.objects.get().endpoint_id,
        "trigger": SourceEvent.objects.all()[0].trigger_id,
        "push": PushRow.objects.get().push_id,
        "prefix": ApiKey.objects.get().key_prefix,
        "project": "platform",
    }


@pytest.mark.parametrize(
    ("model", "by"),
    [
        (Run, ["run", "loop", "key", "request_id", "external_id", "project"]),
        (Attempt, ["attempt", "run", "request_id", "external_id", "project"]),
        (Callback, ["run", "request_id", "step", "project"]),
        (Step, ["run", "step"]),
        (Wait, ["run", "loop"]),
        (RunEvent, ["run"]),
        (LedgerEntry, ["attempt", "request_id", "destination"]),
        (LoopVersion, ["loop"]),
        (SourceEvent, ["run", "trigger"]),
        (Notification, ["run", "endpoint", "project"]),
        (Integration, ["fingerprint", "destination", "project"]),
        (PushRow, ["push"]),
        (ApiKey, ["prefix", "project"]),
        (AuditEvent, ["project"]),
    ],
)
def test_each_of_its_ids_finds_it(support: Client, known: dict[str, str], model: Any, by: list[str]) -> None:
    for name in by:
        with CaptureQueriesContext(connection) as captured:
            found = support.get(page(model, "changelist"), {"q": f" {known[name]} "}).context["cl"].result_list
        assert found, name
        assert not any("LIKE" in query["sql"] for query in captured)
    begun = support.get(page(model, "changelist"), {"q": known[by[0]][:-1]}).context["cl"].result_list
    assert not begun, "the beginning of an id is none"


def test_what_belongs_to_nothing_finds_nothing(support: Client, known: dict[str, str], other_project: Project) -> None:
    for text in ("run_01k9x3m5tq8d2v7w4hnc", "elsewhere", "%", "' OR 1=1", "x" * 5000, "ünï"):
        assert not support.get(page(Run, "changelist"), {"q": text}).context["cl"].result_list


def test_an_id_that_very_many_rows_have_finds_so_many_of_them(
    monkeypatch: pytest.MonkeyPatch, support: Client, known: dict[str, str]
) -> None:
    monkeypatch.setattr(searching, "MOST_FOUND", 2)
    sent = Attempt.objects.get()
    for _ in range(4):
        sent.pk = Attempt._meta.pk.get_default()
        sent.save(force_insert=True)

    assert len(support.get(page(Attempt, "changelist"), {"q": known["request_id"]}).context["cl"].result_list) == 2
