"""The engines that can be measured."""

from __future__ import annotations

import os
from collections.abc import Callable

from mobius.bench.stage import Stage, StageBroken


def on_postgres(*simulate: str) -> Stage:
    """Raises StageBroken when DATABASE_URL names no PostgreSQL to make a database on."""
    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith("postgres"):
        raise StageBroken("Set DATABASE_URL=postgres://user:password@host/name of a PostgreSQL to measure on.")
    from mobius.bench.postgres import PostgresStage  # its packages are there only with PostgreSQL

    return PostgresStage(*simulate, database_url=url)


ENGINES: dict[str, Callable[..., Stage]] = {"embedded": Stage, "postgres": on_postgres}
"""What `--engine` offers: a stage starts, stops and kills the processes of its engine, and looks after its database."""
