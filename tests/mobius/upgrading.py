"""For a process of its own: a database as the first schema had it, with a row in every table, brought up to date.

Prints what the checks of tests/mobius/test_migrations.py look at, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mobius.settings")
django.setup()

from django.db import connection, models  # noqa: E402
from django.db.migrations.executor import MigrationExecutor  # noqa: E402
from django.utils import timezone  # noqa: E402

from mobius import firststart  # noqa: E402

OURS = ("projects", "integrations", "loops")
FIRST = [(app, "0001_initial") for app in OURS]


def fill(apps: Any) -> dict[str, int]:
    """One row in every table of ours, with something in every column."""
    made: dict[str, models.Model] = {}
    waiting = [model for app in OURS for model in apps.get_app_config(app).get_models()]
    while waiting:
        model = waiting.pop(0)
        needs = [one.related_model._meta.label for one in model._meta.fields if one.is_relation and not one.null]
        if not set(needs) - {"auth.User"} <= set(made):
            waiting.append(model)
            continue
        values = {one.name: value_of(one, made, apps) for one in model._meta.fields if not isinstance(one, AUTO)}
        made[model._meta.label] = model.objects.create(**values)
    return dict.fromkeys(sorted(made), 1)


AUTO = (models.AutoField, models.BigAutoField)


def value_of(field: Any, made: dict[str, models.Model], apps: Any) -> Any:
    if field.is_relation:
        label = field.related_model._meta.label
        if label == "auth.User":
            return apps.get_model("auth", "User").objects.get_or_create(username="ada")[0]
        return made.get(label)
    if isinstance(field, models.DateTimeField):
        return timezone.now()
    if isinstance(field, models.DateField):
        return timezone.now().date()
    if isinstance(field, models.JSONField):
        return {"held": "before"}
    if isinstance(field, models.BooleanField):
        return True
    if isinstance(field, models.FloatField | models.IntegerField):
        return 1
    if field.choices:
        return field.choices[0][0]
    return f"old {field.name}"[: field.max_length]


def counts() -> dict[str, int]:
    from django.apps import apps

    found = [model for app in OURS for model in apps.get_app_config(app).get_models()]
    return {model._meta.label: model._default_manager.count() for model in found}


executor = MigrationExecutor(connection)
executor.migrate(FIRST)
before = fill(executor.loader.project_state(FIRST).apps)
waiting = firststart.waiting_migrations()
firststart.migrate()
sys.stdout.write(
    json.dumps({"before": before, "after": counts(), "waited": waiting, "waits": firststart.waiting_migrations()})
)
