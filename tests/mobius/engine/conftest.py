"""The engine of this run of the suite: embedded on SQLite, or Procrastinate on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db import connection

from loops.due import take_due
from loops.sweeping import sweep
from mobius.engine import doorbell, embedded
from mobius.engine.pool import Pool


class Engine:
    """Starts and stops the workers of whatever engine is set; before that, counts what is rung."""

    def __init__(self) -> None:
        self._workers: Pool | None = None
        self._noted: list[str] = []
        if settings.MOBIUS_ENGINE == "embedded":
            embedded.use_pool(self)  # type: ignore[arg-type]  # we note what a pool would take
        else:
            from mobius.engine import procrastinate

            procrastinate._rung_at[0] = float("-inf")  # no worker is awake
            self.forget()

    is_behind = False

    def put(self, run_id: str) -> None:
        self._noted.append(run_id)

    def keep_place(self) -> None:
        """Nobody is free."""

    @property
    def rung(self) -> list[str]:
        """The runs that were rung while nobody worked, in order."""
        if settings.MOBIUS_ENGINE == "embedded":
            return list(self._noted)
        with connection.cursor() as cursor:
            cursor.execute("SELECT args->>'run_id' FROM procrastinate_jobs ORDER BY id")
            return [run_id for (run_id,) in cursor.fetchall()]

    def find_lost_rings(self) -> list[str]:
        """The runs that this engine finds due, although nobody rang."""
        if settings.MOBIUS_ENGINE == "embedded":
            before = len(self._noted)
            sweep()
            return self._noted[before:]
        return take_due(10)

    def forget(self) -> None:
        """Lose every ring."""
        self._noted.clear()
        if settings.MOBIUS_ENGINE != "embedded":
            with connection.cursor() as cursor:
                cursor.execute("DELETE FROM procrastinate_jobs")

    def start(self) -> None:
        if settings.MOBIUS_ENGINE == "embedded":
            self._workers = Pool(doorbell.current_answer(), threads=4)
            embedded.use_pool(self._workers)
            for run_id in self._noted:
                self._workers.put(run_id)
        else:
            from mobius.engine.worker import Worker

            self._workers = Worker(doorbell.current_answer(), threads=4)  # type: ignore[assignment]
        self._workers.start()  # type: ignore[union-attr]

    def stop(self) -> None:
        workers, self._workers = self._workers, None
        embedded.use_pool(None)
        if workers is not None:
            assert workers.stop(patience_seconds=10)


@pytest.fixture
def engine(transactional_db: None) -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.stop()
