"""Govern > Members: who belongs to this project, and as what. Everybody of the project sees it; admins change it."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_variables

from mobius.errors import MobiusError
from mobius.projects import people
from mobius.projects.console.forms import MemberForm, NewUserForm, RoleForm
from mobius.projects.members import add_member, change_role, remove_member
from mobius.projects.models import Membership, Project
from mobius.projects.roles import Permission, Role
from mobius.web.access import ProjectRequest, project_page
from mobius.web.forms import explain, form_page, posted


@project_page(Permission.READ)
@form_page
def members(request: ProjectRequest, project: Project) -> HttpResponse:
    """The list, and for admins the form that lets somebody in."""
    form = MemberForm(posted(request))
    if request.method == "POST":
        _demand_admin(request)
        if form.is_valid() and _add(request, project, form):
            messages.success(request, f"{form.cleaned_data['name']} is a member now.")
            return redirect("console:members", project.handle)
    context = {
        "form": form,
        "members": Membership.objects.of_project(project).select_related("user").order_by("user__username"),
        "may_manage": request.access.allows(Permission.ADMINISTER),
        "may_create_users": _may_create_users(request),
    }
    return render(request, "projects/members.html", context, status=422 if form.errors else 200)


@project_page(Permission.ADMINISTER)
@form_page
def member(request: ProjectRequest, project: Project, member_id: int) -> HttpResponse:
    """One member: another role."""
    membership = _find(project, member_id)
    form = RoleForm(posted(request), initial={"role": membership.role})
    if form.is_valid():
        try:
            change_role(membership, Role(form.cleaned_data["role"]), by=request.actor)
        except MobiusError as error:
            explain(form, error, names={"": "role"})
        else:
            messages.success(request, f"{membership.user} is {form.cleaned_data['role']} now.")
            return redirect("console:members", project.handle)
    context = {"membership": membership, "form": form}
    return render(request, "projects/member.html", context, status=422 if form.errors else 200)


@project_page(Permission.ADMINISTER)
@form_page
def member_remove(request: ProjectRequest, project: Project, member_id: int) -> HttpResponse:
    membership = _find(project, member_id)
    form = forms.Form(posted(request))
    if form.is_valid():
        try:
            remove_member(membership, by=request.actor)
        except MobiusError as error:
            explain(form, error)
        else:
            messages.success(request, f"{membership.user} is no member any more.")
            return redirect("console:members", project.handle)
    context = {"membership": membership, "form": form}
    return render(request, "projects/member_remove.html", context, status=422 if form.errors else 200)


@sensitive_variables("password")
@project_page(Permission.ADMINISTER)
@form_page
def member_new(request: ProjectRequest, project: Project) -> HttpResponse:
    """An account for somebody who has none, and the page that shows its password, once."""
    if not _may_create_users(request):
        raise PermissionDenied("Only people who may make accounts can do this. Ask whoever runs this console.")
    form = NewUserForm(posted(request))
    if form.is_valid():
        password = people.new_password()
        if _create(request, project, form, password):
            context = {"name": form.cleaned_data["name"], "password": password}
            return render(request, "projects/member_made.html", context, status=201)
    return render(request, "projects/member_new.html", {"form": form}, status=422 if form.errors else 200)


@sensitive_variables("password")
def _create(request: ProjectRequest, project: Project, form: NewUserForm, password: str) -> bool:
    """False when the account cannot be made; the form then says why."""
    name, role = form.cleaned_data["name"], Role(form.cleaned_data["role"])
    try:
        with transaction.atomic():
            people.create_user(name=name, password=password, one_time=True, by=request.actor)
            add_member(project=project, name=name, role=role, by=request.actor)
    except MobiusError as error:
        explain(form, error)
        return False
    return True


def _add(request: ProjectRequest, project: Project, form: MemberForm) -> bool:
    wanted = form.cleaned_data
    try:
        add_member(project=project, name=wanted["name"], role=Role(wanted["role"]), by=request.actor)
    except MobiusError as error:
        explain(form, error)
        return False
    return True


def _find(project: Project, member_id: int) -> Membership:
    found = Membership.objects.of_project(project).select_related("user").filter(pk=member_id).first()
    if found is None:
        raise Http404("There is no such member.")
    return found


def _demand_admin(request: ProjectRequest) -> None:
    if not request.access.allows(Permission.ADMINISTER):
        raise PermissionDenied("Only admins of the project let people in.")


def _may_create_users(request: ProjectRequest) -> bool:
    """Accounts belong to the whole console, so a project's admin needs Django's own permission for them, too."""
    return request.access.allows(Permission.ADMINISTER) and request.user.has_perm("auth.add_user")
