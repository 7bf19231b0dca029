"""The loop that an address names."""

from __future__ import annotations

from django.http import Http404

from loops.models import Loop
from mobius.projects.models import Project


def find_loop(project: Project, loop_id: str) -> Loop:
    """With its project and its current version."""
    loops = Loop.objects.present().of_project(project).select_related("project", "current_version")
    loop = loops.filter(pk=loop_id).first()
    if loop is None:
        raise Http404("There is no such loop.")
    return loop
