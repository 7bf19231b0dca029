"""Govern > Audit: who did what in this project."""

from __future__ import annotations

from django.core.exceptions import BadRequest
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from mobius.api.pagination import page_of
from mobius.errors import InvalidFields
from mobius.projects.models import AuditEvent, Project
from mobius.projects.roles import Permission
from mobius.web.access import ProjectRequest, project_page


@project_page(Permission.READ)
@require_safe
def audit(request: ProjectRequest, project: Project) -> HttpResponse:
    try:
        page = page_of(AuditEvent.objects.of_project(project), request.GET)
    except InvalidFields as error:
        raise BadRequest(error.message) from None
    return render(request, "projects/audit.html", {"page": page})
