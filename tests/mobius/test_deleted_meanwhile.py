"""Somebody else was quicker: whatever a request is about is taken away in the middle of it, at every address that
writes. It is told so, and is never a fault of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from integrations import connecting
from integrations.models import Integration
from loops.authoring import create_loop, delete_loop, update_loop
from loops.models import Loop, Push
from loops.pushing import operating
from mobius.alerting.models import Recipient
from mobius.alerting.recipients import remove_recipient
from mobius.notifying.models import Endpoint
from mobius.notifying.subscribing import delete_endpoint
from mobius.projects.auditing import SYSTEM
from mobius.projects.members import remove_member
from mobius.projects.models import Membership, Project
from tests.cast import PUSH_LEADS, Api
from tests.inventory import Things, filled
from tests.mobius.test_every_write import API, PAGES, given, root, things  # noqa: F401  (fixtures)

pytestmark = pytest.mark.django_db

TAKEN_AWAY: dict[str, tuple[Any, Callable[[Any], object]]] = {
    "integration": (Integration, lambda one: connecting.disconnect(one, by=SYSTEM)),
    "webhook": (Endpoint, lambda one: delete_endpoint(one, by=SYSTEM)),
    "push": (Push, lambda one: operating.cancel(one, by=SYSTEM)),  # one that was not started is gone
    "loop": (Loop, lambda one: delete_loop(one, by=SYSTEM)),
    "recipient": (Recipient, lambda one: remove_recipient(one, by=SYSTEM)),
    "member": (Membership, lambda one: remove_member(one, by=SYSTEM)),
}


def named_in(path: str) -> list[str]:
    return [name for name in TAKEN_AWAY if f"<{name}>" in path or f"<{name}_id>" in path]


@contextmanager
def somebody_is_quicker(name: str, key: str) -> Iterator[None]:
    """Takes the thing away as soon as the request within has read it."""
    model, take_away = TAKEN_AWAY[name]
    quicker: list[str] = []

    def meanwhile(execute: Callable[..., Any], sql: str, params: Any, *more: Any) -> Any:
        found = execute(sql, params, *more)
        asked = [str(one) for one in params or ()]
        if not quicker and sql.startswith("SELECT") and model._meta.db_table in sql and key in asked:
            quicker.append(key)
            for one in model._default_manager.filter(pk=key):
                take_away(one)
        return found

    with connection.execute_wrapper(meanwhile):
        yield
    assert quicker, "the request has not read it"


ROUTES = [(route, name) for route in API for name in named_in(route)]


@pytest.mark.parametrize(("route", "name"), ROUTES, ids=str)
def test_what_is_taken_away_in_the_middle_of_a_call_is_not_there(
    api: Api,
    things: Things,  # noqa: F811
    route: str,
    name: str,
) -> None:
    api.raise_request_exception = False
    method, _, path = route.partition(" ")
    mine, body = given(API[route], things)

    with somebody_is_quicker(name, mine[name]):
        answer = getattr(api, method.lower())(filled(path, mine), body)

    assert answer.status_code < 500, answer.content


FORMS = [(path, name) for path in PAGES for name in named_in(path)]


@pytest.mark.parametrize(("path", "name"), FORMS, ids=str)
def test_what_is_taken_away_in_the_middle_of_a_form_is_not_there(
    client: Client,
    root: User,  # noqa: F811
    things: Things,  # noqa: F811
    path: str,
    name: str,
) -> None:
    client.raise_request_exception = False
    client.force_login(root)
    mine, body = given(PAGES[path], things)

    with somebody_is_quicker(name, mine[f"{name}_id"]):
        answer = client.post(filled(path, mine), body)

    assert answer.status_code < 500, answer.content


def test_the_page_says_that_somebody_was_quicker(
    client: Client,
    root: User,  # noqa: F811
    things: Things,  # noqa: F811
) -> None:
    client.force_login(root)
    address = f"/projects/platform/govern/integrations/{things['integration']}/pause/"

    with somebody_is_quicker("integration", things["integration"]):
        answer = client.post(address)

    assert answer.status_code == 404
    assert "Somebody has disconnected this integration meanwhile." in answer.content.decode()


@pytest.mark.django_db(transaction=True)
def test_what_belongs_to_something_that_is_deleted_at_the_same_moment_is_refused(
    api: Api, client: Client, project: Project
) -> None:
    """The commit finds it out."""
    hook = {"kind": "http", "key": "form"}
    loop = create_loop(project=project, authored=PUSH_LEADS | {"triggers": [hook]})
    client.force_login(User.objects.create_superuser("root"))

    def meanwhile(execute: Callable[..., Any], sql: str, *more: Any) -> Any:
        found = execute(sql, *more)
        if sql.startswith("SELECT") and 'FROM "loops_trigger"' in sql:
            with connection.cursor() as cursor:
                cursor.execute("DELETE FROM loops_trigger")
        return found

    answers = []
    for ask in (
        lambda: api.post(f"{api.root}/loops/{loop.pk}/triggers/form/secret"),
        lambda: client.post(f"/projects/platform/build/loops/{loop.pk}/triggers/form/secret/"),
    ):
        with connection.execute_wrapper(meanwhile):
            answers.append(ask())
        update_loop(loop, {"description": str(len(answers))})  # it is there again

    assert [one.status_code for one in answers] == [404, 404]
    assert all("was deleted at the same moment" in one.content.decode() for one in answers)
