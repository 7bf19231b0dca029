"""What used a key in the last days: noted when it opens the door, rarely, and shown before it is revoked."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
import time_machine
from django.db import DatabaseError
from django.db.models import QuerySet
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from mobius.projects import uses
from mobius.projects.keys import NewKey, create_key
from mobius.projects.models import ApiKey, KeyUse, Project
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


def words(response: object) -> str:
    return " ".join(response.content.decode().split())  # type: ignore[attr-defined]


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
    assert KeyUse.objects.count() == DAYS + 1


def test_what_used_a_key_that_is_used_no_more_is_forgotten_too(record: ApiKey, project: Project) -> None:
    other = create_key(project=project, name="other", role=Role.VIEWER).record
    with time_machine.travel(NOON, tick=False) as traveller:
        note_use(other, address="203.0.113.7", client="Clay/1.0")
        traveller.shift(timedelta(days=DAYS))
        note_use(record, address="203.0.113.7", client="Clay/1.0")

    assert KeyUse.objects.get().key == record


def test_whoever_calls_itself_anything_fills_no_table(record: ApiKey) -> None:
    for number in range(200):
        note_use(record, address="203.0.113.7", client=f"liar {number}")

    assert KeyUse.objects.count() == MOST_A_DAY


def test_what_a_program_calls_itself_is_stored_cut_and_without_tricks(record: ApiKey) -> None:
    note_use(record, address="203.0.113.7", client="evil\x1b[2J" + "x" * 500)

    stored = KeyUse.objects.get().client
    assert stored.startswith("evil?[2J")
    assert len(stored) == 200


def test_a_database_in_trouble_does_not_fail_the_request(key: NewKey, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> int:
        raise DatabaseError("disk full")

    ask(key)
    uses.forget()
    monkeypatch.setattr(QuerySet, "update", broken)

    ask(key)
