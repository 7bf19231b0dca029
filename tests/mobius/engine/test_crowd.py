"""Work that gathers while one thread commits is done by the next one, in one transaction."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, connection, connections, transaction

from loops.models import Chore
from mobius import clock
from mobius.engine import crowd, embedded
from mobius.engine.crowd import Crowd
from mobius.engine.gathering import read_again
from mobius.prepared import Insert, Rows, Update
from mobius.projects.models import Membership, Project

pytestmark = pytest.mark.django_db(transaction=True)


class Visitors:
    """Threads that bring their work while the first one is busy, so that all of them gather."""

    def __init__(self) -> None:
        self.crowd = Crowd()
        self.results: dict[str, Any] = {}
        self.transactions: dict[str, int] = {}

    def bring(self, **works: Callable[[], Any]) -> None:
        """Do every work at once; `worker…` is a worker's, `…light` is light."""
        busy, go = threading.Event(), threading.Event()
        threads = [threading.Thread(target=self._visit, args=("first", lambda: (busy.set(), go.wait(5))))]
        threads[0].start()
        assert busy.wait(5)
        for name, work in works.items():
            threads.append(threading.Thread(target=self._visit, args=(name, work)))
            threads[-1].start()
            self._wait_for(len(threads) - 1)
        go.set()
        for thread in threads:
            thread.join(10)

    def _visit(self, name: str, work: Callable[[], Any]) -> None:
        try:
            self.results[name] = self.crowd.do(work, working=name.startswith("worker"), light=name.endswith("light"))
        except BaseException as error:
            self.results[name] = error
        finally:
            connection.close()

    def _wait_for(self, waiting: int) -> None:
        deadline = time.monotonic() + 5
        while len(self.crowd._workers) + len(self.crowd._others) < waiting:
            assert time.monotonic() < deadline
            time.sleep(0.001)


def make(handle: str) -> Callable[[], str]:
    """Makes a project and tells which transaction it was made in."""

    def work() -> str:
        Project.objects.create(handle=handle, name=handle)
        return threading.current_thread().name

    return work


def test_whoever_waits_has_its_work_done_by_another_thread_in_one_transaction() -> None:
    visitors = Visitors()
    visitors.bring(a=make("a"), b=make("b"), c=make("c"))

    assert set(Project.objects.values_list("handle", flat=True)) == {"a", "b", "c"}
    doers = {visitors.results[name] for name in "abc"}
    assert len(doers) == 1, "one of them did it for all"


def test_one_s_failure_is_its_own_and_undoes_nothing_of_the_others() -> None:
    def fails() -> None:
        Project.objects.create(handle="undone", name="Undone")
        raise ValueError("mine")

    visitors = Visitors()
    visitors.bring(a=make("a"), bad=fails, b=make("b"))

    assert str(visitors.results["bad"]) == "mine"
    assert set(Project.objects.values_list("handle", flat=True)) == {"a", "b"}


def test_when_light_work_fails_no_light_work_is_stored_and_all_of_it_is_to_be_brought_again() -> None:
    def fails() -> None:
        raise ValueError("mine")

    visitors = Visitors()
    visitors.bring(a_light=make("a"), bad_light=fails, b_light=make("b"), c=make("c"))

    assert str(visitors.results["bad_light"]) == "mine"
    assert [crowd.was_in_the_way(visitors.results[name]) for name in ("a_light", "b_light")] == [True, True]
    assert set(Project.objects.values_list("handle", flat=True)) == {"c"}, "the other is none the worse"


def test_when_other_work_fails_what_light_work_has_done_beside_it_stays() -> None:
    def fails() -> None:
        Project.objects.create(handle="undone", name="Undone")
        raise ValueError("mine")

    visitors = Visitors()
    visitors.bring(a_light=make("a"), bad=fails, b_light=make("b"))

    assert set(Project.objects.values_list("handle", flat=True)) == {"a", "b"}


def test_what_light_works_write_later_is_written_when_all_of_them_are_done() -> None:
    insert = Insert(Chore)

    def work(name: str) -> Callable[[], int]:
        def write() -> int:
            insert.later(*({"name": f"{name}{number}", "due_at": clock.now()} for number in (1, 2)))
            return Chore.objects.filter(name__regex="^[abc][12]$").count()

        return write

    visitors = Visitors()
    visitors.bring(a_light=work("a"), b_light=work("b"), c=work("c"))

    assert visitors.results["a_light"] == visitors.results["b_light"] == 0, "not yet"
    assert visitors.results["c"] == 6, "its own at once, and the others' is there already"
    written = Chore.objects.filter(name__regex="^[abc][12]$").values_list("name", flat=True)
    assert sorted(written) == ["a1", "a2", "b1", "b2", "c1", "c2"]


def test_a_row_that_cannot_even_be_sent_to_the_database_is_not_taken_for_the_fault_of_others() -> None:
    insert = Insert(Chore)

    def spoils() -> None:
        insert.later({"name": "half a character: \ud83d", "due_at": clock.now()})

    visitors = Visitors()
    visitors.bring(a_light=make("a"), bad_light=spoils)

    assert crowd.was_in_the_way(visitors.results["a_light"])
    assert not Project.objects.exists()


def test_a_row_that_is_not_as_light_work_believes_makes_all_of_it_to_be_brought_again() -> None:
    update = Update(Chore, writes=["due_at"], where=["name"])
    Chore.objects.create(name="mine", due_at=clock.now())

    def change(name: str) -> Callable[[], int]:
        return lambda: update.later({"due_at": clock.now()}, {"name": name})

    visitors = Visitors()
    visitors.bring(a_light=change("mine"), b_light=change("of nobody"), c_light=make("c"))

    assert [crowd.was_in_the_way(visitors.results[f"{name}_light"]) for name in "abc"] == [True, True, True]
    assert not Project.objects.exists()


def test_what_light_works_ask_alike_is_read_once_for_them_until_one_of_them_changes_it() -> None:
    named = Rows(lambda name: Project.objects.filter(name=name).values_list("handle"))

    def look() -> int:
        return len(named.once("P"))

    def make_and_look(handle: str, *, says_so: bool) -> Callable[[], int]:
        def work() -> int:
            Project.objects.create(handle=handle, name="P")
            if says_so:
                read_again()
            return look()

        return work

    visitors = Visitors()
    silent, frank = make_and_look("p1", says_so=False), make_and_look("p2", says_so=True)
    visitors.bring(a_light=look, b_light=silent, c_light=frank, d_light=look)

    assert [visitors.results[f"{name}_light"] for name in "abcd"] == [0, 0, 2, 2]


def test_a_reference_to_nothing_which_only_the_commit_finds_makes_all_light_work_to_be_brought_again() -> None:
    def refer_to_nothing() -> None:
        Membership.objects.create(project_id="prj_none", user_id=0, role="viewer")

    visitors = Visitors()
    visitors.bring(a_light=make("a"), bad_light=refer_to_nothing)

    assert crowd.was_in_the_way(visitors.results["a_light"])
    assert not Project.objects.exists()


def test_work_that_met_a_lock_of_another_process_is_brought_again_alone() -> None:
    class LockNotAvailable(Exception):
        sqlstate = "55P03"

    met: list[bool] = []

    def work() -> str:
        met.append(connection.in_atomic_block)
        if len(met) == 1:
            raise OperationalError("canceling statement due to lock timeout") from LockNotAvailable()
        return "done"

    assert crowd.together(work, working=True) == "done"
    assert met == [True, True]


def test_when_the_commit_fails_nobody_is_told_that_it_succeeded(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Any) -> None:
        raise DatabaseError("disk full")

    def fails_at_commit() -> None:
        monkeypatch.setattr(type(connections["default"]), "_commit", full)

    visitors = Visitors()
    visitors.bring(a=make("a"), b=fails_at_commit)
    monkeypatch.undo()

    assert isinstance(visitors.results["a"], DatabaseError)
    assert not Project.objects.exists()


def test_what_is_to_happen_on_commit_happens_after_the_shared_one() -> None:
    seen: list[bool] = []

    def work() -> None:
        Project.objects.create(handle="a", name="A")
        transaction.on_commit(lambda: seen.append(connection.in_atomic_block))

    visitors = Visitors()
    visitors.bring(a=work, b=make("b"))

    assert seen == [False]


def test_what_is_to_happen_on_commit_happens_though_work_done_after_it_is_undone() -> None:
    seen: list[str] = []

    def fails() -> None:
        with transaction.atomic():
            transaction.on_commit(lambda: seen.append("undone"))
            raise ValueError("mine")

    def nested(name: str) -> Callable[[], None]:
        def work() -> None:
            with transaction.atomic():
                transaction.on_commit(lambda: seen.append(name))

        return work

    visitors = Visitors()
    visitors.bring(a=nested("a"), bad=fails, b=nested("b"), worse=fails)

    assert seen == ["a", "b"]


def test_workers_go_first_and_starts_are_slowed_to_their_pace_while_they_are_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order: list[str] = []

    def note(name: str) -> Callable[[], None]:
        return lambda: order.append(name)

    names = ["start1", "start2", "start3", "worker1", "worker2", "worker3", "worker4"]
    monkeypatch.setattr(embedded, "is_behind", lambda: True)
    visitors = Visitors()
    visitors.bring(**{name: note(name) for name in names})

    assert order[:4] == ["worker1", "worker2", "worker3", "worker4"]
    assert order[4:] == ["start1", "start2", "start3"]
    assert len(visitors.crowd._others) == 0


def test_many_threads_lose_nothing() -> None:
    gathering = Crowd()

    def visit(number: int) -> None:
        for turn in range(5):
            gathering.do(make(f"p{number}-{turn}"), working=number % 2 == 0)
        connection.close()

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert Project.objects.count() == 60
    assert not gathering._led


def test_where_others_share_the_database_only_workers_share_commits(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MOBIUS_ENGINE = "procrastinate"
    brought: list[bool] = []
    monkeypatch.setattr(crowd._crowd, "do", lambda work, *, working, light: (brought.append(working), work())[1])
    assert crowd.together(lambda: "done") == "done"
    assert brought == []
    assert crowd.together(lambda: "done", working=True) == "done"
    assert brought == [True]
    assert crowd.together(lambda: connection.in_atomic_block, working=True, alone=True)
    assert brought == [True]


LARGE = "x" * 10_000_000
"""More than the pages that earlier tests have left free."""


def leave_little_room() -> None:
    """On this connection alone."""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA page_count")
        cursor.execute(f"PRAGMA max_page_count = {cursor.fetchone()[0] + 2}")


@pytest.mark.skipif(connection.vendor != "sqlite", reason="a transaction that SQLite gives up by itself")
def test_when_the_disk_is_full_nobody_is_told_that_its_work_is_stored() -> None:
    def begins_with_little_room() -> None:
        make("before")()
        leave_little_room()

    visitors = Visitors()
    visitors.bring(
        before=begins_with_little_room,
        large=lambda: Project.objects.create(handle="large", name=LARGE),
        after=make("after"),
    )

    assert [str(visitors.results[name]) for name in ("before", "large", "after")] == ["database or disk is full"] * 3
    assert not Project.objects.exists()


@pytest.mark.skipif(connection.vendor != "sqlite", reason="a transaction that SQLite gives up by itself")
def test_work_that_answers_an_error_of_the_database_itself_is_not_taken_for_done() -> None:
    def answers_it() -> str:
        make("undone")()
        leave_little_room()
        try:
            Project.objects.create(handle="large", name=LARGE)
        except DatabaseError:
            pass
        return "done"

    try:
        with pytest.raises(OperationalError, match="the transaction was lost"):
            Crowd().do(answers_it, working=False)
    finally:
        connection.close()
    assert not Project.objects.exists()
