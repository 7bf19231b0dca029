"""`/v1`: loops and runs. Each reads its input, calls one verb and shapes the answer."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import OuterRef, Subquery
from rest_framework.request import Request
from rest_framework.response import Response

from loops import authoring
from loops.api.finding import find_run
from loops.api.reading import read_object, read_start
from loops.api.serializing import loop_json, run_json, steps_json
from loops.models import Loop, LoopStatus, Run, RunStatus
from loops.selecting import Selection, runs_selected
from loops.starting import find_loop, start_run
from mobius.api.pagination import page
from mobius.errors import InvalidFields
from mobius.projects.api.viewsets import ProjectViewSet
from mobius.projects.roles import Permission, Role


class LoopViewSet(ProjectViewSet):
    needs: ClassVar = {
        "list": Permission.READ,
        "create": Permission.ADMINISTER,
        "retrieve": Permission.READ,
        "partial_update": Permission.ADMINISTER,
        "destroy": Permission.ADMINISTER,
        "start": Permission.START,
    }

    def list(self, request: Request, project: str) -> Response:
        loops = _with_last_run(Loop.objects.present().filter(project=self.project))
        if status := _one_of(request, "status", LoopStatus):
            loops = loops.filter(status=status)
        if agent_id := request.query_params.get("agent_id"):
            loops = loops.filter(current_version__spec__agent_id=agent_id)
        return Response(page(loops, request.query_params, serialize=self._shown))

    def create(self, request: Request, project: str) -> Response:
        loop = authoring.create_loop(project=self.project, authored=read_object(request.data), by=self.actor)
        return Response(self._shown(loop), status=201)

    def retrieve(self, request: Request, project: str, loop: str) -> Response:
        found = find_loop(self.project, loop)
        return Response(self._shown(_with_last_run(Loop.objects.filter(pk=found.pk)).get()))

    def partial_update(self, request: Request, project: str, loop: str) -> Response:
        found = find_loop(self.project, loop)
        return Response(self._shown(authoring.update_loop(found, read_object(request.data), by=self.actor)))

    def destroy(self, request: Request, project: str, loop: str) -> Response:
        authoring.delete_loop(find_loop(self.project, loop), by=self.actor)
        return Response(status=204)

    def _shown(self, loop: Loop) -> dict[str, Any]:
        """Whoever knows the address of an HTTP trigger can start runs: only those see it who may."""
        return loop_json(loop, handles=Role(self.key.role).allows(Permission.START))

    def start(self, request: Request, project: str, loop: str) -> Response:
        start = read_start(request.data, header_key=request.headers.get("Idempotency-Key", ""))
        started = start_run(loop=find_loop(self.project, loop), start=start)
        return Response(run_json(started.run), status=202)


class RunViewSet(ProjectViewSet):
    needs: ClassVar = {"list": Permission.READ, "retrieve": Permission.READ, "steps": Permission.READ}

    def list(self, request: Request, project: str) -> Response:
        asked = Selection(state=_one_of(request, "status", RunStatus), of=request.query_params.get("loop_id", ""))
        runs = runs_selected(self.project, asked).select_related("loop", "loop_version")
        if source_event_id := request.query_params.get("source_event_id"):
            runs = runs.from_source_event(source_event_id)
        return Response(page(runs, request.query_params, serialize=run_json))

    def retrieve(self, request: Request, project: str, run: str) -> Response:
        return Response(run_json(self._run(run)))

    def steps(self, request: Request, project: str, run: str) -> Response:
        return Response({"items": steps_json(self._run(run))})

    def _run(self, run_id: str) -> Run:
        return find_run(Run.objects.of_project(self.project).select_related("loop", "loop_version"), run_id)


def _with_last_run(loops: Any) -> Any:
    latest = Run.objects.filter(loop=OuterRef("pk")).order_by("-id").values("created_at")[:1]
    return loops.select_related("current_version").prefetch_related("triggers").annotate(last_run_at=Subquery(latest))


def _one_of(request: Request, name: str, choices: Any) -> str:
    """A filter of the query string. Raises InvalidFields when it is none of the choices."""
    value: str = request.query_params.get(name, "")
    if value and value not in choices.values:
        raise InvalidFields({name: [f"Send one of {', '.join(choices.values)}."]})
    return value
