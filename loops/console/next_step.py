"""What a project in which nothing has run yet does next: connect, then write a loop, then start it."""

from __future__ import annotations

from typing import Any

from loops.console.examples import example_event, start_curl
from loops.models import Loop, LoopStatus
from loops.versions import spec_of
from mobius.projects.models import Project
from mobius.projects.roles import Permission
from mobius.web.access import ProjectRequest


def next_step(request: ProjectRequest, project: Project) -> dict[str, Any]:
    """What `loops/next_step.html` shows; it looks at the page's `integrations`, too."""
    loop = _loop_to_start(project)
    return {
        "loop": loop,
        "curl": _curl(loop) if loop else "",
        "may_edit": request.access.allows(Permission.ADMINISTER),
        "may_start": request.access.allows(Permission.START),
    }


def _loop_to_start(project: Project) -> Loop | None:
    loops = Loop.objects.present().of_project(project).select_related("project", "current_version")
    return loops.in_status(LoopStatus.ACTIVE).order_by("-pk").first()


def _curl(loop: Loop) -> str:
    assert loop.current_version is not None  # an active loop has one
    return start_curl(loop, example_event(spec_of(loop.current_version_id)))
