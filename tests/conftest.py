"""What every test stands on: the cast, plain static files and cheap password hashes."""

from __future__ import annotations

import importlib
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.auth.models import Group
from django.db import connection
from django.utils import timezone
from pytest_django.plugin import DjangoDbBlocker

from integrations import invoking
from mobius import clock, ids, redacting
from mobius.api import downloads, streaming
from mobius.atonce import AtOnce
from mobius.projects import throttling, uses

pytest_plugins = ["tests.cast", "tests.inventory", "tests.integrations.hostile"]


@pytest.fixture(autouse=True, scope="session")
def _quick_settings() -> None:
    """Plain static files, cheap password hashes: tests of both set them themselves."""
    django_settings.STORAGES = django_settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    }
    django_settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    Path(django_settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)


@pytest.fixture(autouse=True)
def _travelling_clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that travel in time take the clock along; `test_clock.py` asks the database itself."""
    if django_settings.MOBIUS_ENGINE != "embedded" and request.module.__name__ != "tests.mobius.test_clock":
        monkeypatch.setattr(clock, "now", timezone.now)
        monkeypatch.setattr(clock, "ask", timezone.now)


@pytest.fixture(autouse=True)
def _rested(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has asked for anything yet, and no test has left a stream or a download open, a process that stops, ids of
    its own future, or secrets that are words of others."""
    monkeypatch.setattr(ids, "_sequence", ids._Sequence())
    monkeypatch.setattr(redacting, "_webhooks", redacting.Memory(1_000))
    throttling.forget()
    uses.forget()
    monkeypatch.setattr(streaming, "_closing", threading.Event())
    monkeypatch.setattr(invoking, "_closing", threading.Event())
    monkeypatch.setattr(streaming, "EVENT_STREAMS", AtOnce(8, "event streams"))
    monkeypatch.setattr(downloads, "DOWNLOADS", AtOnce(4, "downloads"))


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """A database in a file, as the product has it: threads that share one in memory lock each other's tables."""
    database = django_settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3"):
        database.setdefault("TEST", {})["NAME"] = str(django_settings.MOBIUS_DATA_DIR / "tests.sqlite3")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """Tests with transactions of their own delete all rows afterwards, which the audit would refuse.

    That it does refuse is tested by `tests/mobius/projects/test_auditing.py`.
    """
    on_postgresql = "DROP TRIGGER audit_refuses_truncate ON projects_auditevent"
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER audit_refuses_delete" if connection.vendor == "sqlite" else on_postgresql)


@pytest.fixture
def support_group(db: None) -> Group:
    """As the migration makes it; tests with transactions of their own empty the table."""
    migration = importlib.import_module("mobius.web.migrations.0001_support_group")
    migration.make_support_groups(apps, SimpleNamespace(connection=connection))
    return Group.objects.get(name="Support")
