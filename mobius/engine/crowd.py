"""Work of many threads, done by one of them in one transaction: commits are shared, and so is the wait for the disk.

The threads of the embedded engine are served by one interpreter and one writer of SQLite. Side by side they gain
nothing and lose much: every statement lets go of the interpreter's lock, and every commit waits for the disk. So they
bring their work here. Whoever comes first does, on his own connection, what has gathered meanwhile, each piece in a
savepoint of its own, commits once, and hands the results out; then the next of those who wait goes on. A thread gets
its result only after the commit, as if it had committed alone. No work may wait for the network.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.db import IntegrityError, OperationalError, connection, transaction

from mobius.engine import embedded
from mobius.engine.gathering import Missed, gathering

T = TypeVar("T")

_MOST_AT_ONCE = 24
_WORKERS_FOR_EACH_OTHER = 2
"""A run brings work of a worker twice for the one time of the start that brought it. While runs are rung faster than
they are worked off, starts are let in at that measure: slowed down, and never kept out."""


class Disturbed(OperationalError):
    """Another piece of work in the same transaction failed, and nothing of this one is stored either."""


class _Piece(Generic[T]):
    """One thread's work, and what came of it. `light`: without a savepoint, it fails with the light work beside it."""

    def __init__(self, work: Callable[[], T], *, light: bool = False) -> None:
        self._work = work
        self.light = light
        self._result: T | None = None
        self._error: BaseException | None = None
        self.done = False
        self.called = threading.Lock()  # released when the piece is done, or when its thread is to lead
        self.called.acquire()

    def do(self) -> None:
        """All or nothing: a transaction, or a savepoint beside others."""
        try:
            with transaction.atomic():
                self._work_it_off()
        except BaseException as error:  # it is its own thread's to deal with, not the leader's
            self._error = error

    def take_part(self) -> None:
        """As a part of what fails as a whole when this fails, too."""
        try:
            self._work_it_off()
        except BaseException as error:
            self._error = error
            raise

    def _work_it_off(self) -> None:
        self._result = self._work()
        if connection.needs_rollback:  # the work has met an error and answered it, but nothing is stored
            raise OperationalError("the transaction was lost")

    def failure(self) -> BaseException | None:
        return self._error

    def fail(self, error: BaseException) -> None:
        """The commit failed: what seemed to succeed did not happen."""
        self._error = self._error or error

    def outcome(self) -> T:
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # it is there: the work returned


class Crowd:
    """Those who wait to have their work done."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._led = False
        self._workers: deque[_Piece[Any]] = deque()
        self._others: deque[_Piece[Any]] = deque()

    def do(self, work: Callable[[], T], *, working: bool, light: bool = False) -> T:
        piece = _Piece(work, light=light)
        with self._guard:
            waits = self._led
            if waits:
                (self._workers if working else self._others).append(piece)
            self._led = True
        if waits:
            piece.called.acquire()
        if not piece.done:
            self._lead(piece)
        return piece.outcome()

    def _lead(self, own: _Piece[Any]) -> None:
        with self._guard:
            pieces = [own, *self._take(_MOST_AT_ONCE - 1)]
        _do_all(pieces)
        with self._guard:
            following = self._take(1)
            self._led = bool(following)
        for piece in pieces[1:]:
            piece.done = True
            piece.called.release()
        for piece in following:
            piece.called.release()

    def _take(self, most: int) -> list[_Piece[Any]]:
        """The next pieces: those of the workers first."""
        taken = [self._workers.popleft() for _ in range(min(most, len(self._workers)))]
        others = max(1, len(taken) // _WORKERS_FOR_EACH_OTHER) if embedded.is_behind() else most
        room = min(others, most - len(taken), len(self._others))
        return taken + [self._others.popleft() for _ in range(room)]


def _do_all(pieces: list[_Piece[Any]]) -> None:
    light = [piece for piece in pieces if piece.light]
    others = [piece for piece in pieces if not piece.light]
    if not others:
        _do_light(light)
    elif len(pieces) == 1:
        others[0].do()
    else:
        _do_beside_each_other(light, others)


def _do_light(pieces: list[_Piece[Any]]) -> None:
    """All of them, or none: whoever fails knows why, and the others are to bring their work again.

    When the commit fails all of them are told how: it may have happened all the same.
    """
    committing = False
    try:
        with transaction.atomic():
            with gathering():
                for piece in pieces:
                    piece.take_part()
                    if piece is pieces[0] and piece is not pieces[-1]:
                        wait_no_more()
            committing = True
    except BaseException as error:
        may_have_happened = committing and not isinstance(error, IntegrityError)  # of a reference, seen at the end
        for piece in pieces:
            piece.fail(error if may_have_happened else Disturbed("something else in the same transaction failed"))


def _do_beside_each_other(light: list[_Piece[Any]], others: list[_Piece[Any]]) -> None:
    several_processes = connection.vendor == "postgresql"
    lost = Disturbed if several_processes else OperationalError
    try:
        with transaction.atomic():
            if light:
                _do_light(light)
                if connection.needs_rollback:
                    raise lost("the transaction was lost")
            for piece in others:
                if light or piece is not others[0]:
                    wait_no_more()
                piece.do()
                if connection.needs_rollback and (failure := piece.failure()):
                    # Not the piece alone, but the whole transaction is lost, as on a full disk: also what the pieces
                    # before it have done.
                    raise lost("something else failed") if several_processes else failure
    except BaseException as error:  # the commit itself: nothing of all this has happened
        references_nothing = isinstance(error, IntegrityError)  # one of them; nobody knows which
        for piece in (*light, *others):
            if references_nothing:
                piece.fail(Disturbed("something else failed") if piece.light else lost("something else failed"))
            else:
                piece.fail(error)


def wait_no_more(*, but_milliseconds: int = 10) -> None:
    """From here on this transaction holds locks, and hardly waits for others that hold some: another process may wait
    for ours. What meets a lock fails, and `was_in_the_way` is true. SQLite has but one writer at a time."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = {but_milliseconds}")


_crowd = Crowd()


def together(work: Callable[[], T], *, working: bool = False, light: bool = False, alone: bool = False) -> T:
    """What `work` returns or raises, once it is committed; `working` for the threads that carry runs on.

    `light` work goes without a savepoint of its own, its rows are gathered, and it fails with other light work beside
    it: OperationalError, for which `was_in_the_way` is true. Then bring it again, `alone`. So does a piece that meets a
    lock of another process, where several share the database; there only `working` threads share commits.
    """
    if settings.MOBIUS_ENGINE != "embedded" and not working:
        return work()
    if not alone:
        try:
            return _crowd.do(work, working=working, light=light)
        except OperationalError as error:
            if light or not was_in_the_way(error):
                raise
    with transaction.atomic():
        return work()


def was_in_the_way(error: BaseException) -> bool:
    """Did others stop this: by a lock of another process that it would not wait for, by a deadlock, or by failing?"""
    if isinstance(error, Disturbed | Missed):
        return True
    return getattr(error.__cause__, "sqlstate", None) in ("55P03", "40P01")
