"""Members, audit and one's own password in a real browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission as DjangoPermission
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from playwright.sync_api import Page, expect

from mobius.projects import auditing, people
from mobius.projects.auditing import SYSTEM, person
from mobius.projects.members import add_member
from mobius.projects.models import Project
from mobius.projects.roles import Role
from tests.cast import PASSWORD

OpenAs = Callable[[User, str], Page]
Check = Callable[[Page], None]
MEMBERS = "/projects/platform/govern/members/"
AUDIT = "/projects/platform/govern/audit/"


@pytest.fixture
def maker(alice: User) -> User:
    """Alice, who may also make accounts."""
    users = ContentType.objects.get_for_model(User)
    may, _ = DjangoPermission.objects.get_or_create(codename="add_user", content_type=users)
    alice.user_permissions.add(may)
    return alice


def test_members_are_let_in_promoted_and_removed(
    open_as: OpenAs, maker: User, bob: User, charlie: User, assert_sound: Check
) -> None:
    page = open_as(maker, MEMBERS)
    assert_sound(page)

    page.get_by_role("textbox", name="User name").fill("charlie")
    page.get_by_role("radio", name="Viewer").check()
    page.get_by_role("button", name="Add member").click()
    expect(page.get_by_text("charlie is a member now.")).to_be_visible()
    assert_sound(page)

    page.get_by_role("link", name="Change role of charlie").click()
    assert_sound(page)
    page.get_by_role("radio", name="Operator").check()
    page.get_by_role("button", name="Change role").click()
    expect(page.get_by_text("charlie is operator now.")).to_be_visible()

    page.get_by_role("link", name="Remove charlie").click()
    assert_sound(page)
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("charlie is no member any more.")).to_be_visible()


def test_mistakes_are_found_by_keyboard(open_as: OpenAs, alice: User, assert_sound: Check) -> None:
    page = open_as(alice, MEMBERS)
    page.get_by_role("textbox", name="User name").fill("nobody")
    page.get_by_role("radio", name="Viewer").check()
    page.get_by_role("button", name="Add member").click()

    expect(page.get_by_role("alert")).to_be_focused()
    assert_sound(page)


def test_somebody_new_signs_in_with_a_one_time_password_and_replaces_it(
    open_as: OpenAs, maker: User, live_server: object, assert_sound: Check
) -> None:
    page = open_as(maker, f"{MEMBERS}new/")
    assert_sound(page)
    page.get_by_role("textbox", name="User name").fill("dora")
    page.get_by_role("radio", name="Operator").check()
    page.get_by_role("button", name="Create user").click()
    password = page.locator(".secret-once code").inner_text()
    assert_sound(page)

    page.get_by_role("button", name="Log out").click()
    page.get_by_label("Username").fill("dora")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Choose your password")).to_be_visible()
    assert_sound(page)

    page.get_by_label("Old password").fill(password)
    page.get_by_label("New password", exact=True).fill(f"{PASSWORD} too")
    page.get_by_label("New password confirmation").fill(f"{PASSWORD} too")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_text("Your password is changed.")).to_be_visible()


def test_the_audit_is_searched_and_saved(open_as: OpenAs, project: Project, alice: User, assert_sound: Check) -> None:
    people.create_user(name="dora", password=PASSWORD, by=SYSTEM)
    add_member(project=project, name="dora", role=Role.VIEWER, by=person(alice, ip="2001:db8::1234:5678:9abc:def0"))
    auditing.record(
        SYSTEM, "loop.pause", project_id=project.pk, kind="loop", id="loop_1", name="push", reason="x" * 300
    )
    page = open_as(alice, AUDIT)
    assert_sound(page)

    page.get_by_role("textbox", name="Who").fill("alice")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("member.add")).to_be_visible()
    expect(page.get_by_text("loop.pause")).to_be_hidden()
    assert_sound(page)

    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert download.value.suggested_filename == "audit-platform.csv"
    assert "member.add" in download.value.path().read_text()
