"""The API's description, drawn so that one can read it and try it out."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from mobius.projects.models import Project
from mobius.projects.roles import Permission
from mobius.web.access import ProjectRequest, project_page


@require_safe
@project_page(Permission.READ)
def api_reference(request: ProjectRequest, project: Project) -> HttpResponse:
    return render(request, "projects/api_reference.html")
