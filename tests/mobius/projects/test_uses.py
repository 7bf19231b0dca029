"""What used a key in the last days: noted when it opens the door, rarely, and shown before it is revoked."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
import time_machine
from django.db import DatabaseError, connection
from django.db.models import QuerySet
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from loops.purging import HourlyPurge
from mobius.projects import uses
from mobius.projects.key_models import ApiKey, KeyUse
from mobius.projects.keys import NewKey, create_key
from mobius.projects.models import Project
from mobius.projects.roles import Role
from mobius.projects.uses import DAYS, MOST_A_DAY, note_use, users_of

pytestmark = pytest.mark.django_db

NOON = "2026-05-10T12:00:00Z"


@pytest.fixture
def key(project: Project) -> NewKey:
    return create_key(project=project, name="clay", role=Role.VIEWER)


@pytest.fixture
def record(key: NewKey) -> ApiKey:
    return key.record


def words(response: Any) -> str:
    return " ".join(response.content.decode().split())


def ask(key: NewKey, *, agent: str = "Clay/1.0", address: str = "203.0.113.7") -> None:
    answer = Client().get(
        "/v1/projects/platform/loops",
        headers={"Authorization": f"Bearer {key.text}", "User-Agent": agent},
        REMOTE_ADDR=address,
    )
    assert answer.status_code == 200


def test_who_uses_a_key_is_shown_on_its_page_and_before_it_is_revoked(admin: Client, key: NewKey) -> None:
    address = f"/projects/platform/govern/api-keys/{key.record.pk}/"
    assert "Nothing has used it in this time" in words(admin.get(address))

    ask(key)
    ask(key, agent="", address="2001:db8::5")

    for page in (address, f"{address}revoke/"):
        shown = words(admin.get(page))
        assert "Clay/1.0" in shown
        assert "203.0.113.7" in shown
        assert "Does not say what it is" in shown
        assert "2001:db8::/64" in shown
        assert "Calls are not counted." in shown


def test_a_key_that_is_refused_is_not_noted(key: NewKey) -> None:
    Client().get("/v1/projects/platform/loops", headers={"Authorization": f"Bearer {key.text[:-1]}x"})

    assert not KeyUse.objects.exists()


def test_the_same_program_costs_a_statement_once_every_five_minutes(
    record: ApiKey, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with time_machine.travel(NOON, tick=False) as traveller:
        note_use(record, address="203.0.113.7", client="Clay/1.0")
        first = KeyUse.objects.get().last_at
        traveller.shift(timedelta(minutes=4, seconds=59))
        with django_assert_num_queries(0):
            note_use(record, address="203.0.113.7", client="Clay/1.0")
        traveller.shift(timedelta(seconds=2))
        note_use(record, address="203.0.113.7", client="Clay/1.0")

        assert KeyUse.objects.get().last_at - first == timedelta(minutes=5, seconds=1)


def test_another_process_notes_into_the_same_line(record: ApiKey) -> None:
    note_use(record, address="203.0.113.7", client="Clay/1.0")
    uses.forget()
    note_use(record, address="203.0.113.7", client="Clay/1.0")

    assert KeyUse.objects.count() == 1


def test_the_days_are_kept_for_a_week(record: ApiKey) -> None:
    with time_machine.travel(NOON, tick=False) as traveller:
        for _ in range(DAYS + 3):
            note_use(record, address="203.0.113.7", client="Clay/1.0")
            traveller.shift(timedelta(days=1))
        traveller.shift(timedelta(days=-1))
        note_use(record, address="198.51.100.1", client="curl/8")

        curl, clay = sorted(users_of(record), key=lambda user: user.client, reverse=True)
        assert list(curl.days) == [date(2026, 5, 19)]
        assert list(clay.days) == [date(2026, 5, 19) - timedelta(days=back) for back in range(DAYS)]
        assert clay.last_at == timezone.now()
        uses.erase_old(now=timezone.now())
        assert users_of(record) == [clay, curl]
    assert KeyUse.objects.count() == DAYS + 1


def test_what_used_keys_that_nothing_uses_any_more_is_erased_within_the_hour(record: ApiKey) -> None:
    note_use(record, address="203.0.113.7", client="Clay/1.0")
    KeyUse.objects.update(day=timezone.now().date() - timedelta(days=DAYS))

    HourlyPurge().go_on(now=timezone.now())

    assert not KeyUse.objects.exists()


def test_whoever_calls_itself_anything_fills_no_table_and_no_memory(record: ApiKey) -> None:
    for number in range(200):
        note_use(record, address="203.0.113.7", client=f"liar {number} {'x' * 8_000}")

    assert KeyUse.objects.count() == MOST_A_DAY
    assert all(isinstance(kept, int) for kept in uses._noted._at)


def test_uses_beyond_those_of_a_day_cost_no_more_than_one_a_second(
    record: ApiKey, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    with time_machine.travel(NOON, tick=False), django_assert_max_num_queries(60 * 5):
        for number in range(5_000):
            note_use(record, address=f"2001:db8::{number:x}", client=f"liar {number}")

    assert KeyUse.objects.count() == MOST_A_DAY


def test_what_a_program_calls_itself_is_stored_cut_and_without_tricks(record: ApiKey) -> None:
    note_use(record, address="203.0.113.7", client="evil\x1b[2J\x00\u202e\ud800" + "x" * 500)

    stored = KeyUse.objects.get().client
    assert stored.startswith("evil?[2J???x")
    assert len(stored) == 200


def test_a_database_in_trouble_does_not_fail_the_request(key: NewKey, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> int:
        raise DatabaseError("disk full")

    ask(key)
    uses.forget()
    monkeypatch.setattr(QuerySet, "update", broken)

    ask(key)


@pytest.mark.django_db(transaction=True)
def test_a_database_that_takes_no_writes_answers_all_the_same(key: NewKey) -> None:
    switch = "SET default_transaction_read_only = {}" if connection.vendor == "postgresql" else "PRAGMA query_only = {}"
    with connection.cursor() as cursor:
        cursor.execute(switch.format("on"))
    try:
        ask(key)
    finally:
        with connection.cursor() as cursor:
            cursor.execute(switch.format("off"))

    assert not KeyUse.objects.exists()


def test_markup_in_what_a_program_calls_itself_is_shown_as_text(admin: Client, key: NewKey) -> None:
    ask(key, agent="<script>alert(1)</script>")

    shown = words(admin.get(f"/projects/platform/govern/api-keys/{key.record.pk}/"))
    assert "&lt;script&gt;alert(1)" in shown
    assert "<script>alert" not in shown


@pytest.mark.django_db(transaction=True)
def test_what_used_a_key_goes_with_the_key(record: ApiKey) -> None:
    note_use(record, address="203.0.113.7", client="Clay/1.0")

    record.delete()
    note_use(ApiKey(pk="key_gone"), address="203.0.113.7", client="Clay/1.0")  # deleted while it was used

    assert not KeyUse.objects.exists()
