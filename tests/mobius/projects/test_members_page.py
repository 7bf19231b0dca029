"""Govern > Members, for whoever may and whoever may not."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission as DjangoPermission
from django.contrib.auth.models import User
from django.test import Client

from mobius.projects.models import AuditEvent, Membership, Project
from mobius.projects.roles import Role

pytestmark = pytest.mark.django_db
MEMBERS = "/projects/platform/govern/members/"
NEW = f"{MEMBERS}new/"


@pytest.fixture
def account_maker(admin: Client, alice: User) -> Client:
    """Alice's browser; she may also make accounts."""
    alice.user_permissions.add(DjangoPermission.objects.get(codename="add_user"))
    return admin


def page_of(user: User, verb: str = "") -> str:
    return f"{MEMBERS}{Membership.objects.get(user=user, project__handle='platform').pk}/{verb}"


def shown(response: Any) -> str:
    return " ".join(response.content.decode().split())


def test_everybody_of_the_project_sees_who_is_in_it_and_only_admins_see_what_changes_it(
    client: Client, alice: User, bob: User, vera: User
) -> None:
    client.force_login(vera)
    page = shown(client.get(MEMBERS))
    assert all(name in page for name in ("alice", "bob", "vera", "(you)", "Operator"))
    assert "Add a member" not in page
    assert "Remove" not in page

    client.force_login(alice)
    page = shown(client.get(MEMBERS))
    assert "Add a member" in page
    assert page_of(bob, "remove/") in page
    assert "Create a user" not in page  # she may not make accounts


def test_an_admin_adds_somebody_who_has_an_account(admin: Client, charlie: User) -> None:
    page = shown(admin.post(MEMBERS, {"name": "charlie", "role": "viewer"}, follow=True))

    assert "charlie is a member now." in page
    assert Membership.objects.get(user=charlie, project__handle="platform").role == Role.VIEWER
    event = AuditEvent.objects.get(action="member.add")
    assert (event.actor_id, event.object_id, event.ip) == ("alice", "charlie", "127.0.0.1")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"name": "nobody"}, "There is no user named nobody."),
        ({"name": "alice"}, "alice is a member already"),
        ({"name": ""}, "Write the name with which the person signs in."),
        ({"role": "run"}, "Select a valid choice"),
        ({"role": ""}, "Choose what the member may do."),
        ({"name": "<script>alert(1)</script>"}, "There is no user named &lt;script&gt;"),
        ({"name": "a\x00b"}, "Null characters are not allowed."),
        ({"name": "x" * 500}, "at most 150 characters"),
    ],
)
def test_what_cannot_be_added_is_explained(admin: Client, charlie: User, wrong: dict[str, str], sentence: str) -> None:
    response = admin.post(MEMBERS, {"name": "charlie", "role": "viewer"} | wrong)

    assert response.status_code == 422
    assert sentence in shown(response)
    assert Membership.objects.filter(project__handle="platform").count() == 1


def test_an_admin_changes_a_role(admin: Client, bob: User) -> None:
    assert "has to sign in again" in shown(admin.get(page_of(bob)))

    page = shown(admin.post(page_of(bob), {"role": "admin"}, follow=True))

    assert "bob is admin now." in page
    assert Membership.objects.get(user=bob).role == Role.ADMIN


def test_an_admin_removes_somebody_after_being_asked(admin: Client, bob: User) -> None:
    address = page_of(bob, "remove/")
    assert "signed out at once" in shown(admin.get(address))

    assert "bob is no member any more." in shown(admin.post(address, follow=True))
    assert not Membership.objects.filter(user=bob).exists()
    assert admin.get(address).status_code == 404


def test_the_last_admin_is_kept_and_told_why(admin: Client, alice: User, bob: User) -> None:
    for address, form in ((page_of(alice), {"role": "viewer"}), (page_of(alice, "remove/"), {})):
        response = admin.post(address, form)
        assert response.status_code == 422
        assert "This is the project&#x27;s last admin" in shown(response)
    assert Membership.objects.get(user=alice).role == Role.ADMIN
    assert not AuditEvent.objects.exists()


def test_an_admin_who_steps_back_is_signed_out(admin: Client, alice: User, bob: User) -> None:
    admin.post(page_of(bob), {"role": "admin"})
    admin.post(page_of(alice), {"role": "viewer"})

    assert admin.get(MEMBERS).headers["Location"].startswith("/login/")


def test_an_account_is_made_and_its_password_shown_once(account_maker: Client) -> None:
    assert "shown once" in shown(account_maker.get(NEW))
    response = account_maker.post(NEW, {"name": "dora", "role": "operator"})

    page = shown(response)
    found = re.search(r"<code>([\w-]{16})</code>", page)
    assert response.status_code == 201
    assert "no-store" in response.headers["Cache-Control"]
    assert found is not None
    assert User.objects.get(username="dora").check_password(found[1])
    assert Membership.objects.get(user__username="dora").role == Role.OPERATOR
    assert found[1] not in shown(account_maker.get(MEMBERS))
    assert not [row for row in AuditEvent.objects.values() if found[1] in str(row)]
    assert list(AuditEvent.objects.order_by("id").values_list("action", flat=True)) == ["user.create", "member.add"]


def test_an_account_that_cannot_be_made_is_explained_and_leaves_nothing(account_maker: Client, bob: User) -> None:
    for name, sentence in (("BOB", "There is a user named BOB already."), ("a b", "Enter a valid username")):
        response = account_maker.post(NEW, {"name": name, "role": "viewer"})
        assert response.status_code == 422
        assert sentence in shown(response)
    assert User.objects.count() == 2
    assert not AuditEvent.objects.exists()


def test_accounts_are_not_for_every_admin_of_a_project(admin: Client, client: Client, project: Project) -> None:
    response = admin.get(NEW)
    assert response.status_code == admin.post(NEW, {"name": "dora", "role": "viewer"}).status_code == 403
    assert not User.objects.filter(username="dora").exists()

    client.force_login(User.objects.create_superuser("root"))
    assert client.get(NEW).status_code == 200
    assert "Create a user" in shown(client.get(MEMBERS))


def test_strangers_are_asked_to_sign_in(client: Client, alice: User) -> None:
    for address in (MEMBERS, NEW, page_of(alice), page_of(alice, "remove/")):
        assert client.get(address).headers["Location"] == f"/login/?next={address}"
        assert client.post(address, {"role": "viewer"}).headers["Location"].startswith("/login/")
    assert Membership.objects.count() == 1


def test_members_of_other_projects_find_nothing(client: Client, charlie: User, alice: User, bob: User) -> None:
    client.force_login(charlie)
    charlie.user_permissions.add(DjangoPermission.objects.get(codename="add_user"))

    for address in (MEMBERS, NEW, page_of(bob), page_of(bob, "remove/")):
        assert client.get(address).status_code == client.post(address, {"role": "admin"}).status_code == 404
        theirs = address.replace("platform", "elsewhere")
        if str(Membership.objects.get(user=bob).pk) in address:
            assert client.post(theirs, {"role": "admin"}).status_code == 404
    assert Membership.objects.get(user=bob).role == Role.OPERATOR


def test_too_low_a_role_gets_the_page_that_says_so(client: Client, vera: User, bob: User, alice: User) -> None:
    for user in (vera, bob):
        client.force_login(user)
        answers = [
            client.post(MEMBERS, {"name": "charlie", "role": "admin"}),
            client.get(NEW),
            client.post(page_of(user), {"role": "admin"}),
            client.post(page_of(alice, "remove/")),
        ]
        assert [answer.status_code for answer in answers] == [403] * 4
        assert "Your role does not allow this" in shown(answers[0])
    assert Membership.objects.count() == 3


@pytest.mark.parametrize("number", ["0", "9" * 30, "9" * 5000])
def test_an_odd_number_is_nobody(admin: Client, number: str) -> None:
    assert admin.get(f"{MEMBERS}{number}/").status_code == 404
