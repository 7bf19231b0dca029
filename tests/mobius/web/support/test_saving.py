"""What is saved in Django admin is written into the audit: by whom, from where, why, and which fields."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from integrations.models import Pacer
from mobius.projects import people
from mobius.projects.key_models import ServicePrincipal
from mobius.projects.models import AuditEvent, Project
from mobius.web.support.saving import AuditedSaves
from tests.mobius.web.support.doors import page

pytestmark = pytest.mark.django_db
NEW_PASSWORD = "another horse battery staple"


def event() -> AuditEvent:
    found = AuditEvent.objects.get()
    assert (found.actor_kind, found.actor_id, found.ip) == ("user", "root", "127.0.0.1")
    return found


@pytest.fixture
def request_of_root(superuser: Client, rf: Any) -> Any:
    request = rf.get("/")
    request.user = User.objects.get(username="root")
    return request


def test_whatever_can_be_saved_in_the_admin_is_audited(request_of_root: Any) -> None:
    for model, model_admin in admin.site._registry.items():
        saves = model_admin.has_add_permission(request_of_root) or model_admin.has_change_permission(request_of_root)
        assert isinstance(model_admin, AuditedSaves) or not saves, model


def test_nothing_is_deleted_in_the_admin(request_of_root: Any) -> None:
    request = request_of_root
    for model, model_admin in admin.site._registry.items():
        assert not model_admin.has_delete_permission(request), model
        assert "delete_selected" not in model_admin.get_actions(request), model


def test_a_pace_is_audited_with_its_reason_and_without_its_value(superuser: Client, project: Project) -> None:
    pacer = Pacer.objects.create(project=project, label="default", rate_per_second=9.9, burst=18)
    form = {"rate_per_second": "7.125", "burst": "18", "reason": "Clay asked for it"}

    assert superuser.post(page(Pacer, "change", pacer.pk), form).status_code == 302

    line = event()
    assert (line.action, line.project_id, line.object_id) == ("pacer.update", project.pk, str(pacer.pk))
    assert (line.changed, line.reason) == (["rate_per_second"], "Clay asked for it")
    assert "7.125" not in str(AuditEvent.objects.values().get())


def test_a_burst_that_the_settings_page_could_not_save_is_refused(superuser: Client, project: Project) -> None:
    pacer = Pacer.objects.create(project=project, label="default", rate_per_second=9.9, burst=18)
    form = {"rate_per_second": "9.9", "burst": "10001", "reason": "a wish"}

    assert superuser.post(page(Pacer, "change", pacer.pk), form).status_code == 200

    pacer.refresh_from_db()
    assert pacer.burst == 18


def test_saving_without_a_change_leaves_no_line(superuser: Client, project: Project) -> None:
    pacer = Pacer.objects.create(project=project, label="default", rate_per_second=9.9, burst=18)

    superuser.post(page(Pacer, "change", pacer.pk), {"rate_per_second": "9.9", "burst": "18", "reason": "none"})

    assert not AuditEvent.objects.exists()


def test_projects_and_principals_are_audited(superuser: Client, project: Project) -> None:
    superuser.post(page(Project, "add"), {"handle": "new-one", "name": "New one"})
    superuser.post(page(Project, "change", project.pk), {"name": "Other", "reason": "moved"})
    superuser.post(page(ServicePrincipal, "add"), {"project": project.pk, "name": "robot"})

    made = Project.objects.get(handle="new-one")
    lines = list(AuditEvent.objects.order_by("id").values_list("action", "project_id", "object_id", "changed"))
    assert lines == [
        ("project.create", made.pk, made.pk, ["handle", "name"]),
        ("project.update", project.pk, project.pk, ["name"]),
        ("principal.create", project.pk, ServicePrincipal.objects.get().pk, ["name", "project"]),
    ]


# --- accounts ---


def test_an_account_is_made_with_a_password_that_must_be_replaced(superuser: Client) -> None:
    form = {"username": "dora", "usable_password": "true", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}

    assert superuser.post(page(User, "add"), form).status_code == 302

    line = event()
    assert (line.action, line.project_id, line.object_id) == ("user.create", None, "dora")
    assert line.changed == ["password", "username"]
    assert people.must_change_password(User.objects.get(username="dora"))


def user_form(user: User, **changes: str) -> dict[str, str]:
    return {"username": user.username, "is_active": "on"} | changes


def test_other_rights_are_audited_and_sign_the_person_out(superuser: Client, bob: User) -> None:
    theirs = Client()
    theirs.force_login(bob)
    group = Group.objects.create(name="Helpers")
    changes = user_form(bob, is_staff="on", groups=str(group.pk))

    assert superuser.post(page(User, "change", bob.pk), changes).status_code == 302

    line = event()
    assert (line.action, line.object_id, line.changed) == ("user.update", "bob", ["groups", "is_staff"])
    assert theirs.get("/projects/platform/").status_code == 302


def test_a_new_name_signs_nobody_out(superuser: Client, bob: User) -> None:
    theirs = Client()
    theirs.force_login(bob)

    superuser.post(page(User, "change", bob.pk), user_form(bob, first_name="Robert"))

    assert event().changed == ["first_name"]
    assert theirs.get("/projects/platform/").status_code == 200


def test_a_password_given_by_somebody_else_is_audited_ends_sessions_and_must_be_replaced(
    superuser: Client, bob: User
) -> None:
    theirs = Client()
    theirs.force_login(bob)
    form = {"usable_password": "true", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "set-password": ""}

    assert superuser.post(reverse("admin:auth_user_password_change", args=[bob.pk]), form).status_code == 302

    assert (event().action, event().object_id, event().changed) == ("user.update", "bob", ["password"])
    assert theirs.get("/projects/platform/").status_code == 302
    assert people.must_change_password(bob)
    assert not [row for row in AuditEvent.objects.values() if NEW_PASSWORD in str(row)]


def test_groups_are_audited(superuser: Client) -> None:
    superuser.post(page(Group, "add"), {"name": "Helpers"})

    line = event()
    assert (line.action, line.object_id, line.changed) == (
        "group.create",
        str(Group.objects.get(name="Helpers").pk),
        ["name"],
    )
