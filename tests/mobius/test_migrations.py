"""What ships: migrations that say what the models say, and settings that Django's own deployment check finds clean."""

from __future__ import annotations

import importlib
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from django.apps import apps
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from mobius import firststart
from mobius.cli import main

ROOT = Path(__file__).resolve().parents[2]
TESTS_ONLY = ("DJANGO_SETTINGS_MODULE", "PYTHONPATH", "DJANGO_ALLOW_ASYNC_UNSAFE")


def test_the_migrations_say_what_the_models_say(db: None) -> None:
    output = StringIO()

    call_command("makemigrations", check=True, dry_run=True, stdout=output, stderr=output)

    assert "No changes detected" in output.getvalue()


def test_every_migration_is_applied(db: None) -> None:
    executor = MigrationExecutor(connection)

    assert executor.migration_plan(executor.loader.graph.leaf_nodes()) == []


def test_no_app_has_two_ends() -> None:
    assert MigrationLoader(None).detect_conflicts() == {}


def test_the_group_support_is_made_once_however_often_it_is_made(db: None) -> None:
    migration: Any = importlib.import_module("mobius.web.migrations.0001_support_group")
    for _ in range(2):
        migration.make_support_groups(apps, SimpleNamespace(connection=connection))

    assert Group.objects.filter(name="Support").count() == 1


def manage(*arguments: str, data: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """manage.py in a process of its own, as an operator runs it."""
    clean = {name: value for name, value in os.environ.items() if name not in TESTS_ONLY}
    return subprocess.run(
        [sys.executable, "-W", "error", "manage.py", *arguments],
        cwd=ROOT,
        env=clean | {"MOBIUS_DATA_DIR": str(data)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_deployment_check_is_clean_behind_https(tmp_path: Path) -> None:
    done = manage(
        *("check", "--deploy", "--fail-level", "WARNING"),
        data=tmp_path,
        HTTPS="on",
        ALLOWED_HOSTS="console.example.com",
        SECRET_KEY="Zk3-for-this-test-only_9sQxW7vLrT2nB8mYcJ5hGdF6pA0eUiO1",
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "no issues (0 silenced)" in done.stdout + done.stderr


def test_a_fresh_database_has_the_group_support_which_sees_everything_and_edits_nothing(tmp_path: Path) -> None:
    question = (
        "from django.contrib.auth.models import Group; "
        "print(*sorted(Group.objects.get(name='Support').permissions.values_list('codename', flat=True)))"
    )

    migrated = manage("migrate", "--verbosity", "0", data=tmp_path)
    asked = manage("shell", "--verbosity", "0", "-c", question, data=tmp_path)

    assert migrated.returncode == 0, migrated.stderr
    allowed = asked.stdout.split()
    assert {"view_run", "view_attempt", "view_integration", "view_project", "view_membership"} <= set(allowed)
    assert {"view_alert", "pause_integration", "revoke_apikey"} <= set(allowed)
    assert not {name for name in allowed if name.startswith(("add_", "change_", "delete_"))}
    assert {"view_webhooksecret", "view_keycheck"}.isdisjoint(allowed)


def test_a_database_of_the_first_schema_with_data_in_every_table_comes_up_to_date(tmp_path: Path) -> None:
    """On SQLite, in a process of its own; the tables that are new since then are empty."""
    clean = {name: value for name, value in os.environ.items() if name not in (*TESTS_ONLY, "DATABASE_URL")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.mobius.upgrading"],
        cwd=ROOT,
        env=clean | {"MOBIUS_DATA_DIR": str(tmp_path), "MOBIUS_ENGINE": "embedded"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)

    assert found["waited"], "at least the group Support was missing"
    assert found["waits"] == []
    assert len(found["before"]) > 15
    assert {name: found["after"][name] for name in found["before"]} == found["before"], "no row was lost"


def test_a_database_of_a_newer_version_is_refused_with_a_sentence(db: None) -> None:
    MigrationRecorder(connection).record_applied("loops", "0999_from_the_future")

    with pytest.raises(firststart.NewerDatabase, match=r"newer version.*Unknown here: loops\.0999_from_the_future\."):
        firststart.migrate()
    checked = CliRunner().invoke(main, ["check"])
    assert checked.exit_code == 1
    assert "database: The database was written by a newer version of this console" in checked.output


def test_check_says_when_migrations_are_pending(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firststart, "waiting_migrations", lambda: ["loops.0002_more"])

    checked = CliRunner().invoke(main, ["check"])
    assert checked.exit_code == 1
    assert "1 migrations are missing; run `python3 -m mobius serve` or `manage.py migrate`" in checked.output


def test_serve_refuses_a_database_of_a_newer_version(tmp_path: Path) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("the refusal is the same; SQLite's is quicker to make")
    assert manage("migrate", "--verbosity", "0", data=tmp_path).returncode == 0
    with closing(sqlite3.connect(tmp_path / "mobius.sqlite3")) as database:
        database.execute(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('loops', '0999_later', '2030-01-01')"
        )
        database.commit()
    clean = {name: value for name, value in os.environ.items() if name not in TESTS_ONLY}
    refused = subprocess.run(
        [sys.executable, "-m", "mobius.cli", "serve", "--port", "1"],
        cwd=ROOT,
        env=clean | {"MOBIUS_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert refused.returncode == 1
    assert "Start that version, or restore an older backup" in refused.stderr
    assert "Traceback" not in refused.stderr
