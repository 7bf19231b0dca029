"""Lists and pages cost the same however much there is, and lead through all of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from integrations.models import Attempt, Integration, LedgerEntry, Pacer
from loops.models import (
    BulkJob,
    Callback,
    Loop,
    LoopVersion,
    PushRow,
    Run,
    RunEvent,
    SourceEvent,
    Step,
    Trigger,
    Wait,
)
from mobius import clock
from mobius.alerting.models import Alert, Recipient
from mobius.ids import first_id, new_id
from mobius.notifying.models import Endpoint
from mobius.projects.key_models import ApiKey, ServicePrincipal
from mobius.projects.models import AuditEvent, Membership, Project
from mobius.web.support import lists
from tests.mobius.web.support.doors import page

MOST_STATEMENTS = 12


def another(thing: Any, number: int) -> Model:
    """A copy of the stored thing, stored, with what must differ."""
    model = type(thing)
    values = {field.attname: getattr(thing, field.attname) for field in model._meta.concrete_fields}
    prefix = getattr(model._meta.pk.default, "args", ("",))[0]
    values["id"] = new_id(prefix) if prefix else None
    changes: dict[type[Model], dict[str, Any]] = {
        User: {"username": f"user{number}"},
        Group: {"name": f"group{number}"},
        Project: {"handle": f"project-{number}"},
        ServicePrincipal: {"name": f"principal {number}"},
        ApiKey: {"name": f"key {number}", "digest": f"{number:064x}"},
        Integration: {"name": f"integration {number}"},
        Pacer: {"label": f"workspace {number}"},
        Loop: {"name": f"loop {number}"},
        LoopVersion: {"number": 100 + number},
        Trigger: {"key": f"trigger{number}", "http_handle": ""},
        SourceEvent: {"cause": ""},
        Run: {"idempotency_key": ""},
        Step: {"id": f"{values.get('run_id')}:s{number}", "key": f"s{number}", "callback_hash": ""},
        Wait: {"state": "resumed"},
        Callback: {"body_digest": f"{number:064x}", "used_by": ""},
        RunEvent: {"sequence": 1000 + number},
        Endpoint: {"name": f"endpoint {number}"},
        Alert: {"object_id": f"loop_{number}"},
        Recipient: {"address": f"ops{number}@example.org"},
        PushRow: {"number": 100 + number},
        BulkJob: {"state": "completed", "asked_at": clock.now() + timedelta(seconds=number)},
    }
    return model._default_manager.create(**values | changes.get(model, {}))


def multiply(times: int, *, first: int = 0) -> None:
    """So many more of everything that has a page, and of what stands on a page of something else."""
    for model in admin.site._registry:
        if model is not LedgerEntry:
            thing = model._default_manager.order_by("pk")[0]
            for number in range(first, first + times):
                another(thing, number)
    entry, fresh = LedgerEntry.objects.order_by("pk")[0], Attempt.objects.filter(ledger_entry=None)[:times]
    for attempt in fresh:
        values = {"destination": entry.destination, "body_digest": "x", "created_at": entry.created_at}
        LedgerEntry.objects.create(attempt=attempt, request_id=attempt.pk, **values)
    for user in User.objects.filter(memberships=None, is_staff=False)[:times]:
        Membership.objects.create(project=Project.objects.get(handle="platform"), user=user, role="viewer")


def costs(support: Client, superuser: Client) -> dict[str, int]:
    """The statements of the first page, of every list, bare, searched and with each choice of each filter, and of the
    page of the oldest row."""
    return dict(_costs(support, superuser))


def _costs(support: Client, superuser: Client) -> Iterator[tuple[str, int]]:
    yield "index", statements(support, reverse("admin:index"))[0]
    for model in admin.site._registry:
        client = superuser if model in (User, Group) else support
        bare = page(model, "changelist")
        first = model._default_manager.order_by("pk")[0]
        number, answer = statements(client, bare)
        yield bare, number
        yield f"{bare}?q=", statements(client, f"{bare}?q={first.pk}")[0]
        shown = answer.context["cl"]
        for spec in shown.filter_specs:
            for choice in spec.choices(shown):
                yield f"{bare}{choice['query_string']}", statements(client, f"{bare}{choice['query_string']}")[0]
        path = page(model, "change", first.pk)
        yield path, statements(client, path)[0]


def statements(client: Client, path: str) -> tuple[int, Any]:
    with CaptureQueriesContext(connection) as captured:
        answer = client.get(path)
    assert answer.status_code == 200, path
    return len(captured), answer


def test_every_list_and_page_costs_the_same_with_2_rows_and_with_30(
    secrets_planted: list[str], lead: Client, lena: User, superuser: Client, project: Project
) -> None:
    Membership.objects.create(project=project, user=lena, role="admin")  # whom pages lead to the console
    multiply(1)
    ContentType.objects.get_for_models(*apps.get_models())  # they are asked once and remembered
    before = costs(lead, superuser)
    multiply(28, first=1)

    after = costs(lead, superuser)

    grown = {path: (before[path], now) for path, now in after.items() if now != before.get(path, now)}
    assert grown == {}
    dear = {path: number for path, number in after.items() if number > MOST_STATEMENTS}
    assert dear == {}
    assert len(after) > 150


@pytest.mark.usefixtures("support_group")
def test_a_list_neither_counts_nor_skips_rows(secrets_planted: list[str], superuser: Client) -> None:
    multiply(2)
    for model in admin.site._registry:
        with CaptureQueriesContext(connection) as captured:
            superuser.get(page(model, "changelist"), {"p": model._default_manager.order_by("pk").last().pk})
        for query in captured:
            assert not re.search(r"COUNT\(|OFFSET|LIKE", query["sql"]), query["sql"]


def test_lists_do_not_load_bodies(secrets_planted: list[str], support: Client) -> None:
    heavy = [(Attempt, "body"), (Run, "event"), (Callback, "body"), (Step, "inputs"), (LoopVersion, "spec")]
    for model, column in heavy:
        for path in (page(Run, "changelist"), page(model, "changelist")):
            with CaptureQueriesContext(connection) as captured:
                support.get(path)
            assert not any(f'"{model._meta.db_table}"."{column}"' in query["sql"] for query in captured), model


# --- from page to page ---


@pytest.fixture
def audit(project: Project) -> list[str]:
    """Ten lines of the audit, the oldest first."""
    return [
        AuditEvent.objects.create(
            project=project,
            actor_kind="user",
            actor_id="ada",
            action="run.cancel",
            object_id="run_1",
            created_at=clock.now(),
        ).pk
        for _ in range(10)
    ]


@pytest.fixture
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for model_admin in admin.site._registry.values():
        monkeypatch.setattr(model_admin, "list_per_page", 3)


def listed(answer: Any) -> list[Any]:
    return [thing.pk for thing in answer.context["cl"].result_list]


def test_older_leads_through_all_of_it_the_newest_first(short_pages: None, support: Client, audit: list[str]) -> None:
    path, seen = page(AuditEvent, "changelist"), []
    query = "?"
    while query:
        answer = support.get(path + query)
        seen += listed(answer)
        query = answer.context["cl"].older_url

    assert seen == audit[::-1]
    assert ">Newest<" in answer.content.decode()
    assert ">Older<" not in answer.content.decode()


def test_a_page_keeps_its_filters(short_pages: None, support: Client, audit: list[str]) -> None:
    answer = support.get(page(AuditEvent, "changelist"), {"actor_kind__exact": "user", "q": "run_1"})

    assert "actor_kind__exact=user" in answer.context["cl"].older_url
    assert "q=run_1" in answer.context["cl"].older_url


@pytest.mark.parametrize("query", ["p=", "created=soon", "created=1'", "o=3", "all=", "_facets=True"])
def test_what_means_nothing_in_the_address_changes_nothing(support: Client, audit: list[str], query: str) -> None:
    answer = support.get(f"{page(AuditEvent, 'changelist')}?{query}")

    assert listed(answer) == audit[::-1]


def test_a_key_that_is_no_number_is_none_of_a_list_of_numbers(support: Client, secrets_planted: list[str]) -> None:
    assert listed(support.get(f"{page(RunEvent, 'changelist')}?p=run_1"))
    assert support.get(f"{page(RunEvent, 'changelist')}?p={10**30}").status_code == 200


# --- filters ---


def test_a_filter_by_time_goes_by_the_ids(support: Client, project: Project) -> None:
    for days in (0, 3, 20, 60):
        moment = clock.now() - timedelta(days=days)
        AuditEvent.objects.create(
            pk=first_id("aud", moment + timedelta(minutes=1)), project=project, object_id=str(days), created_at=moment
        )

    def found(days: str) -> int:
        return len(listed(support.get(page(AuditEvent, "changelist"), {"created": days})))

    assert [found(days) for days in ("1", "7", "30")] == [1, 2, 3]


def test_a_state_that_is_seldom_is_found_however_far_back(
    monkeypatch: pytest.MonkeyPatch, support: Client, in_doubt: Attempt
) -> None:
    monkeypatch.setattr(lists, "LOOKS_THROUGH", 3)
    for number in range(7):
        another(in_doubt, number)
    Attempt.objects.exclude(pk=in_doubt.pk).update(state="accepted", status_code=200)
    for number in range(7):
        another(Run.objects.order_by("pk")[0], number)
    Run.objects.exclude(pk=in_doubt.run_id).update(status="completed")

    assert listed(support.get(page(Attempt, "changelist"), {"state__exact": "in_doubt"})) == [in_doubt.pk]
    assert listed(support.get(page(Attempt, "changelist"), {"state": "error"})) == [in_doubt.pk]
    assert listed(support.get(page(Run, "changelist"), {"status__exact": "suspended"})) == [in_doubt.run_id]


def test_a_filter_without_an_index_offers_to_look_further(
    monkeypatch: pytest.MonkeyPatch, support: Client, in_doubt: Attempt
) -> None:
    monkeypatch.setattr(lists, "LOOKS_THROUGH", 3)
    for number in range(4):
        another(in_doubt, number)
    Attempt.objects.exclude(pk=in_doubt.pk).update(state="accepted", status_code=200)
    Attempt.objects.filter(pk=in_doubt.pk).update(status_code=503)
    path = page(Attempt, "changelist")

    first = support.get(path, {"http": "5xx"})
    assert listed(first) == []
    assert "Only the next 3 were looked through" in first.content.decode()
    further = support.get(path + first.context["cl"].older_url)

    assert listed(further) == [in_doubt.pk]
    assert "Look further" not in further.content.decode()
