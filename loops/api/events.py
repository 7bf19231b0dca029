"""`/v1`: the log of a run, in pages and as a stream (mobius-contract §8)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar

from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from loops.api.finding import find_run
from loops.events import tell
from loops.models import Run, RunEvent
from mobius.api.pagination import read_limit
from mobius.api.serializing import timestamp
from mobius.api.streaming import MEDIA_TYPE, Event, News, stream
from mobius.errors import InvalidFields
from mobius.projects.api.viewsets import ProjectViewSet
from mobius.projects.key_models import ApiKey
from mobius.projects.keys import opens_still
from mobius.projects.roles import Permission

_SEQUENCE = re.compile(r"[0-9]{1,9}")

JsonObject = dict[str, Any]


class RunEventViewSet(ProjectViewSet):
    needs: ClassVar = {"list": Permission.READ, "stream": Permission.READ}

    def list(self, request: Request, project: str, run: str) -> HttpResponseBase:
        """A page, or a stream for whoever accepts `text/event-stream`."""
        found = self._run(run)
        if MEDIA_TYPE in request.headers.get("Accept", ""):
            return _stream(request, found, event_json)
        after = _sequence("after_sequence", request.query_params.get("after_sequence", ""))
        told = tell(found.pk, after=after, limit=read_limit(request.query_params))
        items = [event_json(event, payload) for event, payload in told.events]
        next_sequence = told.events[-1][0].sequence if told.events else after
        return Response({"items": items, "next_sequence": next_sequence, "has_more": told.more})

    def stream(self, request: Request, project: str, run: str) -> HttpResponseBase:
        """The older address. Mobius's Python client breaks on a payload there, so it has none (mobius-contract §8)."""
        return _stream(request, self._run(run), lambda event, _: event_json(event, {}))

    def _run(self, run_id: str) -> Run:
        return find_run(Run.objects.of_project(self.project).only("pk"), run_id)


def event_json(event: RunEvent, payload: JsonObject) -> JsonObject:
    shown: JsonObject = {
        "id": str(event),
        "run_id": event.run_id,
        "sequence": event.sequence,
        "event_type": event.event_type,
        "created_at": timestamp(event.created_at),
    }
    if event.step_key:
        shown |= {"step_id": f"{event.run_id}:{event.step_key}", "step_key": event.step_key}
    return shown | ({"payload": payload} if payload else {})


def _stream(request: Request, run: Run, shape: Callable[[RunEvent, JsonObject], JsonObject]) -> HttpResponseBase:
    key: ApiKey = request.auth  # type: ignore[assignment]  # stubs know DRF's own tokens only

    def look(after: int) -> News:
        if not opens_still(key):
            return News(events=[], over=True)
        told = tell(run.pk, after=after)
        events = [Event(id=one.sequence, type=one.event_type, data=shape(one, said)) for one, said in told.events]
        return News(events=events, over=told.over)

    return stream(request._request, look, after=_cursor(request))


def _cursor(request: Request) -> int:
    """Where the listener was: the larger of `after_sequence` and `Last-Event-ID`; without them the beginning."""
    asked = request.query_params.get("after_sequence", "")
    return max(_sequence("after_sequence", asked), _sequence("Last-Event-ID", request.headers.get("Last-Event-ID", "")))


def _sequence(name: str, text: str) -> int:
    if text and not _SEQUENCE.fullmatch(text):
        raise InvalidFields({name: ["Send the sequence of an event: a whole number, 0 for the beginning."]})
    return int(text or 0)
