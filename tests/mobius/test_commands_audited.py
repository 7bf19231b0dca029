"""What is done at the command line is written into the audit like what is done anywhere else."""

from __future__ import annotations

import getpass
from typing import Any

import click
import pytest
from django.contrib.auth.models import Group, User

from mobius import firststart
from mobius.commands import making, purge
from mobius.projects import auditing
from mobius.projects.models import AuditEvent, Membership, Project
from mobius.projects.roles import Role
from tests.cast import PASSWORD

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _django_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge, "start_django", lambda: None)


def lines() -> list[tuple[Any, ...]]:
    return list(AuditEvent.objects.order_by("id").values_list("action", "object_id", "actor_name", "actor_id"))


def make_user(name: str, **more: Any) -> str:
    given: dict[str, Any] = {"password": PASSWORD, "handle": None, "role": None, "support": None, "superuser": False}
    return making.make_user(name=name, **given | more)


def test_projects_keys_and_people_are_audited_with_the_user_of_the_system() -> None:
    making.make_project(handle="new-one", name="New one")
    making.make_key(handle="new-one", name="ci", role="run")
    make_user("dora", handle="new-one", role="admin")

    project = Project.objects.get()
    by = ("Command line", getpass.getuser())
    assert lines() == [
        ("project.create", project.pk, *by),
        ("api_key.create", project.api_keys.get().pk, *by),
        ("user.create", "dora", *by),
        ("member.add", "dora", *by),
    ]
    assert Membership.objects.get().role == Role.ADMIN


def test_what_cannot_be_made_is_explained_and_leaves_nothing(project: Project, alice: User) -> None:
    for make, sentence in (
        (lambda: making.make_project(handle="platform", name="x"), "There is a project platform already."),
        (lambda: making.make_project(handle="Bad Handle", name="x"), "Use lower-case letters"),
        (lambda: make_user("alice"), "There is a user named alice already."),
        (lambda: make_user("dora", password="short"), "too short"),
        (lambda: make_user("dora", handle="nowhere", role="admin"), "There is no project nowhere."),
        (lambda: making.make_key(handle="nowhere", name="x", role="run"), "There is no project nowhere."),
    ):
        with pytest.raises(click.ClickException, match=sentence):
            make()
    assert User.objects.count() == 1
    assert lines() == []


def test_a_purge_is_audited(project: Project) -> None:
    purge.run(days=30)

    event = AuditEvent.objects.get()
    assert (event.action, event.project_id) == ("body.purge", None)
    assert event.reason == (
        "Older than 30 days, and forgotten: 0 attempts, 0 runs, 0 callbacks, 0 pushes, 0 bulk jobs, "
        "0 webhook deliveries, 0 alert mails."
    )


def test_the_first_start_is_audited_and_the_second_is_not() -> None:
    assert firststart.first_admin()
    assert not firststart.first_admin()

    assert [line[0] for line in lines()] == ["project.create", "user.create"]
    assert {line[2] for line in lines()} == {"Mobius console"}


def test_a_system_user_without_a_name_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("uid not found: 10001")

    monkeypatch.setattr(getpass, "getuser", nameless)

    assert auditing._system_user() == ""


def test_a_group_that_was_deleted_is_named_instead_of_a_traceback() -> None:
    Group.objects.all().delete()

    with pytest.raises(click.ClickException, match="no group named Support any more"):
        make_user("sam", support="Support")
    assert not User.objects.filter(username="sam").exists()


@pytest.mark.usefixtures("support_group")
@pytest.mark.parametrize("group", ["Support", "Support lead"])
def test_somebody_of_the_support_is_made_with_the_group_and_the_audit_says_so(group: str) -> None:
    make_user("sam", support=group)

    sam = User.objects.get()
    assert (sam.is_staff, sam.is_superuser, sam.groups.get().name) == (True, False, group)
    assert AuditEvent.objects.get().changed == ["groups", "is_staff", "password", "username"]
