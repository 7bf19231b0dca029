"""`/v1`: calls of HTTP triggers, and whether they must be signed."""

from __future__ import annotations

from typing import ClassVar

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from loops.api.reading import read_object
from loops.models import Trigger
from loops.starting import find_loop
from loops.triggers.calling import (
    call,
    check_signature,
    demand_signature,
    find_called,
    find_http_trigger,
    take_unsigned,
)
from mobius.api.serializing import RequestSerializer
from mobius.errors import NotFound, Unauthorized
from mobius.projects import throttling
from mobius.projects.api.viewsets import JsonOnly, ProjectViewSet
from mobius.projects.roles import Permission


class HttpTrigger(APIView):
    """The handle in the address is the authentication; a trigger may demand a signature beside it."""

    authentication_classes = ()
    permission_classes = ()
    content_negotiation_class = JsonOnly
    http_method_names = ["post"]

    def post(self, request: Request, handle: str) -> Response:
        try:
            trigger = find_called(handle)
            check_signature(trigger, request._request.body, request.META.get("HTTP_X_MOBIUS_SIGNATURE", ""))
        except (NotFound, Unauthorized):
            throttling.note_unknown_token(request.META.get("REMOTE_ADDR", ""))
            raise
        key = request.query_params.get("idempotency_key") or request.META.get("HTTP_X_IDEMPOTENCY_KEY", "")
        called = call(trigger, read_object(request.data), key=key.strip())
        receipt = {"source_event_id": called.source_event.pk, "status": "accepted"}
        return Response(receipt | ({"deduped": True} if called.deduped else {}), status=202)


class TriggerViewSet(ProjectViewSet):
    """The secret that calls of an HTTP trigger are signed with."""

    needs: ClassVar = {"demand_signature": Permission.ADMINISTER, "take_unsigned": Permission.ADMINISTER}

    def demand_signature(self, request: Request, project: str, loop: str, trigger: str) -> Response:
        """A new secret, shown this once. The former one, if any, opens nothing any more."""
        found = self._trigger(loop, trigger)
        RequestSerializer.read(request.data)
        return Response({"signing_secret": demand_signature(found, by=self.actor).text}, status=201)

    def take_unsigned(self, request: Request, project: str, loop: str, trigger: str) -> Response:
        take_unsigned(self._trigger(loop, trigger), by=self.actor)
        return Response(status=204)

    def _trigger(self, loop: str, key: str) -> Trigger:
        return find_http_trigger(find_loop(self.project, loop), key)
