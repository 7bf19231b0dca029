"""`/v1`: what Clay posts back, through both doors, and what it has not posted yet."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from loops import callbacks
from loops.api.reading import read_object
from loops.api.serializing import callback_json, overdue_json
from loops.awaiting import overdue_in
from mobius import clock
from mobius.engine.trouble import is_passing
from mobius.errors import NotFound, RateLimitExceeded
from mobius.projects import throttling
from mobius.projects.api.viewsets import JsonOnly, ProjectViewSet
from mobius.projects.authentication import key_of
from mobius.projects.roles import Permission

logger = logging.getLogger(__name__)


class NeverLost(APIView):
    """A door for callbacks. Clay sends one once more after a 429, and gives its result up after any 5xx."""

    content_negotiation_class = JsonOnly
    http_method_names = ["post"]

    def handle_exception(self, exc: Exception) -> Response:
        if is_passing(exc):
            logger.warning("a callback could not be stored and was answered with 429: %s", exc)
            exc = RateLimitExceeded("We cannot store this just now: send it again in a moment.")
        return super().handle_exception(exc)


class CallbackAtAddress(NeverLost):
    """The token in the address is the authentication; a loop may demand a key beside it (design §6)."""

    authentication_classes = ()
    permission_classes = ()

    def post(self, request: Request, token: str) -> Response:
        body = read_object(request.data)
        try:
            received = callbacks.receive_at_address(token, body, key=key_of(request))
        except NotFound:
            throttling.note_unknown_token(request.META.get("REMOTE_ADDR", ""))
            raise
        return Response(_received(received))


class ClayCallbackViewSet(NeverLost, ProjectViewSet):
    needs: ClassVar = {"create": Permission.CALL_BACK}

    def create(self, request: Request, project: str) -> Response:
        return Response(_received(callbacks.receive_by_request_id(self.project, read_object(request.data))))


class OverdueViewSet(ProjectViewSet):
    needs: ClassVar = {"list": Permission.READ}

    def list(self, request: Request, project: str) -> Response:
        found = overdue_in(self.project, now=clock.now())
        return Response({"items": [overdue_json(one) for one in found.items], "has_more": found.has_more})


def _received(received: callbacks.Received) -> dict[str, Any]:
    answer: dict[str, Any] = {"ok": True, "callback": callback_json(received.callback)}
    for flag in ("duplicate", "ambiguous"):
        if getattr(received, flag):
            answer[flag] = True
    if received.callback.remark:
        answer["warning"] = received.callback.remark
    return answer
