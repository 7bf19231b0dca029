"""Staff: Sam of the support, Lena who leads it, and a superuser; and one of everything, with secrets in it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from integrations.models import Attempt, Integration
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from integrations.secrets import prove_key
from loops import bulk
from loops.models import BulkDeed, Loop, Run, SourceEvent
from loops.selecting import Selection
from loops.triggers.calling import call, demand_signature, find_http_trigger
from mobius import clock
from mobius.alerting.models import Alert, Mail
from mobius.alerting.recipients import add_recipient
from mobius.notifying.subscribing import create_endpoint
from mobius.projects.auditing import SYSTEM
from mobius.projects.key_models import ApiKey
from mobius.projects.models import Project
from tests.cast import PASSWORD, Api, work_off
from tests.loops.flow import LOST, asking, begin, loop_of, token_of, waiting
from tests.loops.pushing.pushes import checked
from tests.mobius.web.support.doors import signed_in


@pytest.fixture
def sam(support_group: Group) -> User:
    """Support: staff, in the group, a member of no project."""
    user = User.objects.create_user("sam", password=PASSWORD, is_staff=True)
    user.groups.add(support_group)
    return user


@pytest.fixture
def lena(support_group: Group) -> User:
    """She leads the support."""
    user = User.objects.create_user("lena", password=PASSWORD, is_staff=True)
    user.groups.add(Group.objects.get(name="Support lead"))
    return user


@pytest.fixture
def root(db: None) -> User:
    return User.objects.create_superuser("root", password=PASSWORD)


@pytest.fixture
def support(sam: User) -> Client:
    return signed_in(sam)


@pytest.fixture
def lead(lena: User) -> Client:
    return signed_in(lena)


@pytest.fixture
def superuser(root: User) -> Client:
    return signed_in(root)


@pytest.fixture
def secrets_planted(api: Api, clay: ClaySimulator, alice: User) -> list[str]:
    """One of everything, with secrets wherever one can be: gives the texts that no page may show."""
    prove_key()
    url = clay.url_for("planted-url-path")
    body = {"webhook_url": url, "auth_header_name": "x-auth", "auth_header_value": "planted-header-value"}
    api.post(f"{api.root}/integrations/providers/clay/connect", body | {"rate_per_second": "unlimited"})
    clay.next_answers(Behaviour(body=f'{{"you_sent": "planted-header-value to {url}"}}'.encode()))
    project = Project.objects.get(handle="platform")
    told = clay.url_for("planted-endpoint-path")
    signing = create_endpoint(project=project, name="crm", url=told, events=["run.completed"], by=SYSTEM)
    triggered = {"kind": "http", "key": "form", "config": {"http_handle": "planted-http-handle"}}
    loop = loop_of(project, asking(), waiting(), name="ask", triggers=[triggered])
    trigger = find_http_trigger(loop, "form")
    signed = demand_signature(trigger, by=SYSTEM)
    call(trigger, {"email": "ada@example.com", "request_id": "r-1"}, key="k")
    pending = {"state": "pending", "event": {"email": "eve@example.com"}, "created_at": clock.now()}
    SourceEvent.objects.create(project=project, trigger=trigger, **pending)
    work_off()
    token = token_of(clay)
    api.post(f"/v1/callbacks/{token}", {"email": "bob@example.com", "score": 7})
    work_off()
    assert Run.objects.get().status == "completed"
    _aside(project)
    key = ApiKey.objects.get()
    return [
        "planted-url-path",
        "planted-header-value",
        "planted-http-handle",
        "planted-endpoint-path",
        signing.text,
        signed.text,
        token,
        api.key.text,
        key.digest,
        "ada@example.com",
        "bob@example",
        "eve@example",
        "zoe@example",
    ]


def _aside(project: Project) -> None:
    """What no run makes: an alert and its mail, a push of a file, and a bulk job."""
    checked(project.integrations.get(), "email\nzoe@example.com\n")
    selection, now = Selection(state="completed"), clock.now()
    bulk.BulkJob.objects.create(
        project=project, deed=BulkDeed.CANCEL, selection=selection.as_json(), total=1, asked_at=now, created_at=now
    )
    recipient = add_recipient(project=project, address="ops@example.org", by=SYSTEM)
    alert = Alert.objects.create(
        project=project,
        condition="loop_paused",
        object_id="loop_x",
        level=1,
        summary="paused",
        to_do="x",
        opened_at=now,
    )
    Mail.objects.create(
        **{"project": project, "alert": alert, "recipient": recipient, "address": recipient.address},
        **{"kind": "opened", "subject": "A loop is paused", "text": "It is paused.", "state": "sent"},
        created_at=now,
    )


@pytest.fixture
def in_doubt(integration: Integration, clay: ClaySimulator, push_leads: Loop) -> Attempt:
    clay.next_answers(LOST)
    begin(push_leads)
    work_off()
    return Attempt.objects.get()
