"""The connections to PostgreSQL: kept open, without a question before every piece of work."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import settings
from django.db import close_old_connections, connection
from django.db.backends.postgresql.base import DatabaseWrapper

from mobius.projects.models import Project

if settings.MOBIUS_ENGINE == "embedded":
    pytest.skip("the database of the distributed engine", allow_module_level=True)
import psycopg

from loops import changes
from mobius.engine.postgresql.base import go_by_index

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]


def session() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def test_between_two_pieces_of_work_the_server_is_asked_nothing_and_the_session_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = session()
    monkeypatch.setattr(DatabaseWrapper, "is_usable", lambda _: pytest.fail("a question to the server"))
    close_old_connections()
    assert not Project.objects.exists()
    assert session() == before


def test_a_session_that_the_server_has_ended_is_replaced_before_the_next_piece_of_work() -> None:
    before = session()
    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": None}, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [before])
    close_old_connections()
    assert not Project.objects.exists()
    assert session() != before


def test_after_an_error_the_server_is_asked_whether_it_still_answers() -> None:
    before = session()
    connection.errors_occurred = True
    close_old_connections()
    assert not connection.errors_occurred
    assert session() == before


def test_nobody_keeps_a_second_index_for_the_beginnings_of_ids() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexname FROM pg_indexes WHERE indexdef LIKE '%%varchar_pattern_ops%%'")
        kept = [name for (name,) in cursor.fetchall()]

    assert [name for name in kept if name.startswith(("loops_", "integrations_", "projects_"))] == []


def test_a_worker_s_connection_finds_rows_by_an_index_although_the_tables_are_small() -> None:
    def plan() -> str:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {changes._save_run._of_many}", ["[]"])
            return str(cursor.fetchall())

    def as_a_worker() -> str:
        go_by_index()
        try:
            return plan()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        assert "Seq Scan" not in pool.submit(as_a_worker).result()
    assert "Seq Scan" in plan(), "others go by what PostgreSQL counted"


def test_no_statement_waits_for_helpers_to_start() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('max_parallel_workers_per_gather'), current_setting('jit')")
        assert cursor.fetchone() == ("0", "off")
