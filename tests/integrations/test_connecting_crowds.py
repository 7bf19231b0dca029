"""Several admins, or one who clicks twice, change at once what a project is connected to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from threading import Barrier, Event
from typing import Any

import pytest
from django.db import connection, connections

from integrations import connecting
from integrations.forms import Options
from integrations.models import Integration, Webhook, WebhookSecret, WebhookState
from integrations.providers.contract import Connection
from integrations.providers.registry import get_provider
from integrations.succession import stage, unstage
from mobius.errors import MobiusError
from mobius.projects.models import Project
from tests.cast import Api
from tests.described import description

pytestmark = pytest.mark.django_db(transaction=True)
URL = "https://api.clay.com/v3/sources/webhook/"


def at_once(*deeds: Callable[[], object]) -> list[object]:
    """What each of them comes to; a refusal of ours is an outcome like any other."""
    together = Barrier(len(deeds))
    description()  # what answers are held against is made by one thread

    def do(deed: Callable[[], object]) -> object:
        together.wait()
        try:
            return deed()
        except MobiusError as error:
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(deeds)) as pool:
        return list(pool.map(do, deeds))


def test_the_same_connect_call_five_times_at_once_is_one_integration(api: Api) -> None:
    body = {"webhook_url": f"{URL}one", "auth_header_name": "x-a", "auth_header_value": "hush-hush"}

    answers = at_once(*[lambda: api.post(f"{api.root}/integrations/providers/clay/connect", body)] * 5)

    assert [one.status_code for one in answers] == [200] * 5  # type: ignore[attr-defined]
    assert (Integration.objects.count(), Webhook.objects.count()) == (1, 1)


def test_of_five_who_make_the_same_integration_one_does(api: Api) -> None:
    body = {"name": "leads", "provider": "clay", "config": {"webhook_url": f"{URL}one"}}

    answers = at_once(*[lambda: api.post(f"{api.root}/integrations", body)] * 5)

    assert sorted(one.status_code for one in answers) == [201, 409, 409, 409, 409]  # type: ignore[attr-defined]


def test_a_secret_that_is_rotated_while_somebody_changes_the_rest_stays_rotated(api: Api, project: Project) -> None:
    old = Connection(webhook_url=f"{URL}one", auth_header_name="x-a", auth_header_value="hush-hush")
    made = connecting.connect(project=project, provider=get_provider("clay"), connection=old)
    was_read, was_rotated = Event(), Event()

    def meanwhile(execute: Callable[..., Any], sql: str, *more: Any) -> Any:
        found = execute(sql, *more)
        if sql.startswith("SELECT") and 'FROM "integrations_webhooksecret"' in sql:
            was_read.set()
            was_rotated.wait(0.5)
        return found

    def change() -> object:
        config = {"webhook_url": old.webhook_url, "auth_header_name": "x-b"}
        with connection.execute_wrapper(meanwhile):
            return api.put(f"{api.root}/integrations/{made.pk}", {"config": config})

    def rotate() -> None:
        assert was_read.wait(10)
        connecting.rotate(made, auth_header_name="x-b", auth_header_value="another-one")
        was_rotated.set()

    at_once(change, rotate)

    assert WebhookSecret.objects.get().auth_header_value == "another-one"


def test_connecting_staging_and_taking_away_never_wait_for_each_other_in_a_circle(project: Project) -> None:
    provider = get_provider("clay")

    def connect(url: str) -> Integration:
        return connecting.connect(project=project, provider=provider, connection=Connection(webhook_url=URL + url))

    def deeds() -> Iterator[Callable[[], object]]:
        for url in cycle("abc"):
            yield lambda url=url: connect(url)
            yield lambda url=url: stage(connect("a"), Connection(webhook_url=URL + url), Options())
            yield lambda: unstage(Integration.objects.get())
            yield lambda: connecting.rotate(connect("b"), auth_header_name="x-a", auth_header_value="hush-hush")

    connect("a")
    waiting = deeds()
    for _ in range(8):
        outcomes = at_once(*[next(waiting) for _ in range(6)])
        assert not [one for one in outcomes if isinstance(one, MobiusError) and one.http_status >= 500]

    assert Webhook.objects.filter(integration=Integration.objects.get(), state=WebhookState.CURRENT).count() == 1
