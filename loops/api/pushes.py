"""`/v1`: pushes, files of rows that go to an integration."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from collections.abc import Mapping as Given
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, ClassVar

from django.http import StreamingHttpResponse
from django.http.request import UnreadablePostError
from django.utils.http import parse_header_parameters
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from integrations.models import Integration
from loops.api.serializing import queue_json
from loops.models import Push
from loops.pushing import checking, drafting, operating
from loops.pushing.failures import failures_file
from loops.pushing.mapping import Mapping, read_mapping
from loops.pushing.progress import progress_of
from loops.pushing.reading import LARGEST_FILE_BYTES, TOO_LARGE
from mobius import clock
from mobius.api.pagination import page
from mobius.api.parsing import StrictJSONParser
from mobius.api.renderers import to_json
from mobius.api.serializing import RequestSerializer, timestamp, without_nulls
from mobius.errors import BadRequest, InvalidFields, NotFound, PayloadTooLarge
from mobius.projects.api.viewsets import ProjectViewSet
from mobius.projects.models import Project
from mobius.projects.roles import Permission

JsonObject = dict[str, Any]
FILE_TYPES = ("text/csv", "application/x-ndjson", "application/jsonl")
_IN_MEMORY = 1024 * 1024
_CHUNK = 64 * 1024


class RowsParser(StrictJSONParser):
    """A file as it is, or JSON under the rules of every other body."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Given[str, Any] | None = None
    ) -> Any:
        if parse_header_parameters(media_type or "")[0] not in FILE_TYPES:
            return super().parse(stream, media_type, parser_context)
        return Upload(stream)


@dataclass(frozen=True)
class Upload:
    """A file that is still to be received."""

    stream: IO[bytes]

    @contextmanager
    def received(self) -> Iterator[IO[bytes]]:
        """The file, in memory while it is small. Raises PayloadTooLarge."""
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
            try:
                while chunk := self.stream.read(_CHUNK):
                    file.write(chunk)
                    if file.tell() > LARGEST_FILE_BYTES:
                        raise PayloadTooLarge(TOO_LARGE)
            except UnreadablePostError:
                raise BadRequest("The connection was cut before the whole file had arrived.") from None
            yield file


class NewPushSerializer(RequestSerializer):
    integration = serializers.CharField(max_length=100)
    name = serializers.CharField(max_length=200, required=False, allow_blank=True)
    rows = serializers.ListField(child=serializers.DictField(), min_length=1)


class CheckSerializer(RequestSerializer):
    keys = serializers.DictField(
        child=serializers.CharField(max_length=200, allow_null=True, allow_blank=True), required=False
    )
    request_id = serializers.CharField(max_length=200, required=False, allow_blank=True)
    external_id = serializers.CharField(max_length=200, required=False, allow_blank=True)


class PushViewSet(ProjectViewSet):
    parser_classes = (RowsParser,)
    needs: ClassVar = {
        "list": Permission.READ,
        "create": Permission.OPERATE,
        "retrieve": Permission.READ,
        "check": Permission.OPERATE,
        "start": Permission.OPERATE,
        "pause": Permission.OPERATE,
        "resume": Permission.OPERATE,
        "cancel": Permission.OPERATE,
        "failed": Permission.READ,
    }

    def list(self, request: Request, project: str) -> Response:
        pushes = Push.objects.of_project(self.project)
        return Response(page(pushes, request.query_params, serialize=push_json))

    def create(self, request: Request, project: str) -> Response:
        """A file (`?integration=…&name=…`), or `{"integration": …, "rows": [{…}]}`. Sends nothing yet."""
        if isinstance(request.data, Upload):
            with request.data.received() as file:
                return self._draft(request.query_params, file)
        wanted = NewPushSerializer.read(request.data)
        return self._draft(wanted, io.BytesIO(b"\n".join(to_json(row) for row in wanted["rows"])))

    def _draft(self, wanted: Given[str, Any], file: IO[bytes]) -> Response:
        integration = _integration(self.project, wanted.get("integration", ""))
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        push = drafting.draft(integration=integration, file=file, name=wanted.get("name", ""), size=size, by=self.actor)
        return Response(push_json(push), status=201)

    def retrieve(self, request: Request, project: str, push: str) -> Response:
        return Response(_with_progress(self._push(push)))

    def check(self, request: Request, project: str, push: str) -> Response:
        """The dry run."""
        found, wanted = self._push(push), CheckSerializer.read(request.data)
        usual = Mapping.usual(found.columns)
        mapping = read_mapping(
            found.columns,
            wanted.get("keys", {}),
            request_id=wanted.get("request_id", usual.request_id),
            external_id=wanted.get("external_id", usual.external_id),
        )
        return Response(_with_forecast(checking.check(found, mapping, by=self.actor)))

    def start(self, request: Request, project: str, push: str) -> Response:
        return self._do(operating.start, request, push, status=202)

    def pause(self, request: Request, project: str, push: str) -> Response:
        return self._do(operating.pause, request, push)

    def resume(self, request: Request, project: str, push: str) -> Response:
        return self._do(operating.resume, request, push)

    def cancel(self, request: Request, project: str, push: str) -> Response:
        return self._do(operating.cancel, request, push)

    def failed(self, request: Request, project: str, push: str) -> StreamingHttpResponse:
        """What did not arrive, as a file of the format of the first one."""
        return failures_file(self._push(push))

    def _do(self, verb: Any, request: Request, push: str, *, status: int = 200) -> Response:
        RequestSerializer.read(request.data)
        return Response(push_json(verb(self._push(push), by=self.actor)), status=status)

    def _push(self, push_id: str) -> Push:
        pushes = Push.objects.of_project(self.project).select_related("integration__pacer")
        found = pushes.filter(pk=push_id).first()
        if found is None:
            raise NotFound("There is no such push.")
        return found


def push_json(push: Push) -> JsonObject:
    shown = {
        "id": push.pk,
        "name": push.name,
        "state": push.state,
        "integration": push.integration_name,
        "integration_id": push.integration_id,
        "loop_id": push.loop_id,
        "format": push.format,
        "read_as": push.read_as,
        "columns": push.columns,
        "rows": push.rows,
        "keys": dict(push.mapping.get("keys", [])),
        "request_id": push.mapping.get("request_id", ""),
        "external_id": push.mapping.get("external_id", ""),
        "check": push.report or None,
        "paused_because": push.paused_because or None,
        "created_by": push.created_by,
        "created_at": timestamp(push.created_at),
        "started_at": timestamp(push.started_at),
        "ended_at": timestamp(push.ended_at),
    }
    return without_nulls(shown)


def _with_progress(push: Push) -> JsonObject:
    progress = progress_of(push, now=clock.now())
    seconds = round(progress.takes.total_seconds(), 1) if progress.takes is not None else None
    return push_json(push) | without_nulls({"counts": progress.counts, "seconds_left": seconds})


def _with_forecast(push: Push) -> JsonObject:
    """What starting it takes, as if its rows waited at the integration already."""
    queue = checking.forecast(push)
    return push_json(push) | ({"forecast": queue_json(queue)} if queue else {})


def _integration(project: Project, name: str) -> Integration:
    """By name or id. Raises InvalidFields."""
    integrations = Integration.objects.filter(project=project).select_related("pacer", "project")
    found = integrations.filter(pk=name).first() or integrations.filter(name=name).order_by("pk").first()
    if found is None:
        names = ", ".join(integrations.order_by("name").values_list("name", flat=True)[:20])
        raise InvalidFields({"integration": [f"There is no such integration. There is: {names or 'none'}."]})
    return found
