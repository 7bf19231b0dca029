"""Govern > Audit: who did what in this project, and the same as a file."""

from __future__ import annotations

from django.core.exceptions import BadRequest
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from mobius.api.downloads import FORMATS
from mobius.errors import InvalidFields
from mobius.projects.audit_export import export
from mobius.projects.audit_search import AuditSearch, found_in
from mobius.projects.models import Project
from mobius.projects.roles import Permission
from mobius.web.access import ProjectRequest, project_page
from mobius.web.lists import rows


@project_page(Permission.READ)
@require_safe
def audit(request: ProjectRequest, project: Project) -> HttpResponse:
    search = AuditSearch(request.GET)
    page = rows(request, search.in_project(project))
    asked = request.GET.copy()
    asked.pop("cursor", None)
    context = {"page": page, "form": search, "asked": asked.urlencode()}
    return render(request, "projects/audit.html", context, status=422 if search.errors else 200)


@project_page(Permission.READ)
@require_safe
def audit_export(request: ProjectRequest, project: Project, format: str) -> HttpResponseBase:
    if format not in FORMATS:
        raise Http404
    try:
        found = found_in(project, request.GET)
    except InvalidFields as error:
        raise BadRequest(error.message) from None
    return export(found, format=format, name=f"audit-{project.handle}")
