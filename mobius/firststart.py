"""What a start makes sure of: schema, static files, the right encryption key, somebody who can sign in."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, connection
from django.db.migrations.executor import MigrationExecutor

from mobius.errors import Conflict
from mobius.projects.auditing import SYSTEM
from mobius.projects.founding import create_project
from mobius.projects.models import Project
from mobius.projects.people import create_user, new_password

DEFAULT_PROJECT = "default"


class NewerDatabase(Conflict):
    """The database was written by a newer version of this console. Start that version, or restore an older backup."""

    code = "newer_database"


def migrate() -> None:
    """Bring the schema up to date; quick when it is. Raises NewerDatabase, and then nothing was changed."""
    if waiting_migrations():
        call_command("migrate", database=DEFAULT_DB_ALIAS, interactive=False, verbosity=0)


def waiting_migrations() -> list[str]:
    """What the schema still needs. Raises NewerDatabase when it has had more than this version knows."""
    executor = MigrationExecutor(connection)
    known, apps = executor.loader.disk_migrations, executor.loader.migrated_apps
    unknown = sorted(one for one in executor.loader.applied_migrations if one[0] in apps and one not in known)
    if unknown:
        named = ", ".join(f"{app}.{name}" for app, name in unknown)
        raise NewerDatabase(f"{inspect.cleandoc(NewerDatabase.__doc__ or '')} Unknown here: {named}.")
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]


def collect_static() -> None:
    """Collect and name static files by their content, unless none has changed since the last start."""
    root = Path(settings.STATIC_ROOT)
    stamp, state = root / ".collected", _static_state()
    if stamp.is_file() and stamp.read_text() == state:
        return
    call_command("collectstatic", interactive=False, verbosity=0)
    stamp.write_text(state)


def first_admin() -> str:
    """Make the user `admin` and the project `default` when there is no user yet. Returns the password, or ""."""
    users = get_user_model().objects
    if not Project.objects.filter(handle=DEFAULT_PROJECT).exists():
        create_project(handle=DEFAULT_PROJECT, name="Default", by=SYSTEM)
    if users.exists():
        return ""
    password = new_password()
    create_user(name="admin", password=password, superuser=True, by=SYSTEM)
    return password


def _static_state() -> str:
    seen = hashlib.sha256()
    for finder in get_finders():
        for path, storage in finder.list([]):
            seen.update(f"{path} {storage.get_modified_time(path).timestamp()}\n".encode())
    return seen.hexdigest()
