"""Members and accounts: who may become what, and that a project keeps an admin."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.contrib.auth.models import User
from django.db import close_old_connections, connections

from mobius.errors import AlreadyExists, Conflict, InvalidFields
from mobius.projects import people
from mobius.projects.auditing import SYSTEM
from mobius.projects.founding import create_project
from mobius.projects.members import LastAdmin, add_member, change_role, remove_member
from mobius.projects.models import AuditEvent, Membership, OneTimePassword, Project
from mobius.projects.roles import Role
from tests.cast import PASSWORD

pytestmark = pytest.mark.django_db


def membership_of(user: User) -> Membership:
    return Membership.objects.get(user=user)


def lines() -> list[tuple[str, str, list[str]]]:
    return list(AuditEvent.objects.order_by("id").values_list("action", "object_id", "changed"))


def test_somebody_with_an_account_is_added_by_name(project: Project, charlie: User) -> None:
    add_member(project=project, name="charlie", role=Role.OPERATOR, by=SYSTEM)

    assert Membership.objects.get(project=project, user=charlie).role == Role.OPERATOR
    assert lines() == [("member.add", "charlie", ["role"])]


def test_an_unknown_a_switched_off_and_a_doubled_member_are_refused(project: Project, alice: User) -> None:
    User.objects.create_user("gone", is_active=False)
    for name in ("nobody", "gone", "Alice", ""):
        with pytest.raises(InvalidFields, match="no user named"):
            add_member(project=project, name=name, role=Role.VIEWER, by=SYSTEM)
    with pytest.raises(AlreadyExists):
        add_member(project=project, name="alice", role=Role.VIEWER, by=SYSTEM)
    assert membership_of(alice).role == Role.ADMIN
    assert lines() == []


@pytest.mark.parametrize("role", [Role.RUN, Role.CALLBACK])
def test_the_roles_of_keys_are_not_for_people(project: Project, alice: User, bob: User, role: Role) -> None:
    with pytest.raises(InvalidFields):
        change_role(membership_of(bob), role, by=SYSTEM)
    with pytest.raises(InvalidFields):
        add_member(project=project, name="bob", role=role, by=SYSTEM)


def test_the_last_admin_is_neither_removed_nor_demoted(alice: User, bob: User) -> None:
    for deed in (remove_member, lambda one, by: change_role(one, Role.OPERATOR, by=by)):
        with pytest.raises(LastAdmin, match="somebody else an admin first"):
            deed(membership_of(alice), by=SYSTEM)
    assert membership_of(alice).role == Role.ADMIN
    assert lines() == []

    change_role(membership_of(bob), Role.ADMIN, by=SYSTEM)
    change_role(membership_of(alice), Role.VIEWER, by=SYSTEM)

    assert lines() == [("member.change_role", "bob", ["role"]), ("member.change_role", "alice", ["role"])]


def test_an_admin_who_cannot_sign_in_does_not_count(alice: User, bob: User) -> None:
    change_role(membership_of(bob), Role.ADMIN, by=SYSTEM)
    User.objects.filter(pk=bob.pk).update(is_active=False)

    with pytest.raises(LastAdmin):
        remove_member(membership_of(alice), by=SYSTEM)
    remove_member(membership_of(bob), by=SYSTEM)


def test_an_admin_of_another_project_does_not_count(alice: User, charlie: User) -> None:
    with pytest.raises(LastAdmin):
        remove_member(membership_of(alice), by=SYSTEM)


def test_the_same_role_again_changes_nothing(alice: User) -> None:
    change_role(membership_of(alice), Role.ADMIN, by=SYSTEM)

    assert lines() == []


def test_who_is_gone_already_cannot_be_removed_again(alice: User, bob: User) -> None:
    held = membership_of(bob)
    remove_member(held, by=SYSTEM)

    with pytest.raises(Conflict):
        remove_member(Membership(pk=held.pk or 10**6, project=alice.memberships.get().project, user=bob), by=SYSTEM)


@pytest.mark.django_db(transaction=True)
def test_two_admins_who_remove_each_other_at_once_leave_one(alice: User, bob: User) -> None:
    change_role(membership_of(bob), Role.ADMIN, by=SYSTEM)
    both = [membership_of(alice), membership_of(bob)]
    together = Barrier(2)

    def remove(membership: Membership) -> str:
        close_old_connections()
        together.wait()
        try:
            remove_member(membership, by=SYSTEM)
        except LastAdmin:
            return "refused"
        finally:
            connections.close_all()
        return "removed"

    with ThreadPoolExecutor(2) as pool:
        said = sorted(pool.map(remove, both))

    assert said == ["refused", "removed"]
    assert Membership.objects.get().role == Role.ADMIN


# --- accounts and projects ---


def test_an_account_is_made_with_a_password_that_must_be_replaced(db: None) -> None:
    user = people.create_user(name="dora", password=PASSWORD, one_time=True, by=SYSTEM)

    assert user.check_password(PASSWORD)
    assert people.must_change_password(user)
    assert not user.is_staff
    assert not user.is_superuser
    assert lines() == [("user.create", "dora", ["password", "username"])]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a\x00b", "x" * 151, "<b>"])
def test_a_name_that_cannot_be_is_refused(db: None, name: str) -> None:
    with pytest.raises(InvalidFields):
        people.create_user(name=name, password=PASSWORD, by=SYSTEM)
    assert not User.objects.exists()
    assert not OneTimePassword.objects.exists()


def test_two_names_that_look_alike_are_refused(alice: User) -> None:
    for name in ("alice", "ALICE"):
        with pytest.raises(AlreadyExists, match="already"):
            people.create_user(name=name, password=PASSWORD, by=SYSTEM)


def test_a_weak_password_is_refused(db: None) -> None:
    with pytest.raises(InvalidFields, match="too short"):
        people.create_user(name="dora", password="short", by=SYSTEM)


def test_a_superuser_s_account_says_so_in_the_audit(db: None) -> None:
    people.create_user(name="dora", password=PASSWORD, superuser=True, by=SYSTEM)

    assert lines() == [("user.create", "dora", ["is_staff", "is_superuser", "password", "username"])]


def test_a_project_is_made_once(db: None) -> None:
    made = create_project(handle="new-one", name="New one", by=SYSTEM)

    with pytest.raises(AlreadyExists):
        create_project(handle="new-one", name="Another", by=SYSTEM)
    with pytest.raises(InvalidFields, match="lower-case"):
        create_project(handle="New One", name="New one", by=SYSTEM)
    event = AuditEvent.objects.get()
    assert (event.action, event.project_id, event.object_id) == ("project.create", made.pk, made.pk)
