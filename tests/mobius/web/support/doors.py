"""The addresses of Django admin, and what somebody does there."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page(model: type[Model], name: str, *arguments: Any) -> str:
    return reverse(
        f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}",
        args=[quote(argument) for argument in arguments],
    )


def queries(client: Client, path: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path).status_code == 200
    return len(captured)


def allow(user: User, *codenames: str) -> None:
    user.user_permissions.add(*Permission.objects.filter(codename__in=codenames))


def act(client: Client, thing: Model, action: str, **fields: str) -> Any:
    chosen = {"action": action, ACTION_CHECKBOX_NAME: [thing.pk]}
    return client.post(page(type(thing), "changelist"), chosen | fields, follow=True)
