"""What ships: migrations that say what the models say, and settings that Django's own deployment check finds clean."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from django.apps import apps
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

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
        migration.make_support_group(apps, SimpleNamespace(connection=connection))

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


def test_a_fresh_database_has_the_group_support_which_sees_and_changes_nothing(tmp_path: Path) -> None:
    question = (
        "from django.contrib.auth.models import Group; "
        "print(*sorted(Group.objects.get(name='Support').permissions.values_list('codename', flat=True)))"
    )

    migrated = manage("migrate", "--verbosity", "0", data=tmp_path)
    asked = manage("shell", "--verbosity", "0", "-c", question, data=tmp_path)

    assert migrated.returncode == 0, migrated.stderr
    allowed = asked.stdout.split()
    assert {"view_run", "view_attempt", "view_integration", "view_project", "view_membership"} <= set(allowed)
    assert all(name.startswith("view_") for name in allowed)
    assert {"view_webhooksecret", "view_keycheck"}.isdisjoint(allowed)
