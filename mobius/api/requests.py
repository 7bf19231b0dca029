"""What every answer under `/v1` carries: a request id, and headers that keep it out of caches and logs."""

from __future__ import annotations

import re
from collections.abc import Callable

from django.core.exceptions import BadRequest, RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from mobius.api.envelope import Problem, answer, describe, is_api, refusal_page
from mobius.ids import new_id

LARGEST_BODY = 32 * 1024 * 1024
"""Bytes of any request. What the API takes is far smaller; a page takes a file of rows."""

_SANE_ID = re.compile(r"[A-Za-z0-9._~:+=-]{1,64}")
_ALWAYS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    # The path of a callback is a secret.
    "Referrer-Policy": "no-referrer",
}
_SENTENCES = {
    400: "The request is malformed.",
    403: "This is not allowed.",
    404: "There is no such address in this API.",
    405: "This address does not take this method; `Allow` lists those it takes.",
}


_throttled = [0]


def throttled() -> int:
    """How many requests under `/v1` this process has answered with 429."""
    return _throttled[0]


class ApiMiddleware:
    """Stands outermost. Names each request under `/v1`, and lets no HTML error and no raw exception out there."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not is_api(request):
            if _length(request) > LARGEST_BODY:  # before a file of a stranger's fills the disk
                raise RequestDataTooBig
            if "\x00" in request.path_info:  # PostgreSQL would not even take the question
                raise Http404
            if _asks_with_nul(request) or any("\x00" in cookie for cookie in request.COOKIES.values()):
                raise BadRequest("The request holds a NUL character.")
            return self.get_response(request)
        name = request_id_for(request.META.get("HTTP_X_REQUEST_ID", ""))
        request.request_id = name  # type: ignore[attr-defined]
        response = self._refuse_unmeasured(request) or self._refuse_nul(request) or self.get_response(request)
        if isinstance(response, HttpResponse) and response.status_code >= 400:
            _throttled[0] += response.status_code == 429
            _speak_json(response)
        for header, value in _ALWAYS.items():
            response.headers[header] = value
        response.headers["X-Request-ID"] = name
        if isinstance(response, HttpResponse):  # without a length waitress ends the connection after every answer
            response.headers["Content-Length"] = str(len(response.content))
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """For plain Django views under `/v1`, whose DRF views have answered their exceptions already; and for pages."""
        return answer(exception, request) if is_api(request) else refusal_page(request, exception)

    def _refuse_unmeasured(self, request: HttpRequest) -> HttpResponse | None:
        """WSGI takes a chunked body without a length for an empty one: say so instead of losing it."""
        if "HTTP_TRANSFER_ENCODING" not in request.META or request.META.get("CONTENT_LENGTH"):
            return None
        return Problem(status=411, message="Send the body with a Content-Length.").response()

    def _refuse_nul(self, request: HttpRequest) -> HttpResponse | None:
        if "\x00" in request.path_info:
            return describe(Http404()).response()
        if not _asks_with_nul(request):
            return None
        return Problem(status=400, message="The query holds a NUL character (%00); leave it out.").response()


def _asks_with_nul(request: HttpRequest) -> bool:
    """Nothing that is stored holds a NUL, and PostgreSQL would not even take the question."""
    query = request.META.get("QUERY_STRING", "")
    return "%00" in query or "\x00" in query


def _length(request: HttpRequest) -> int:
    try:
        return int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0


def request_id_for(proposed: str) -> str:
    """The caller's own name for the request if it is a sane one, else a new `req_…`."""
    return proposed if _SANE_ID.fullmatch(proposed) else new_id("req")


def _speak_json(response: HttpResponse) -> None:
    """Replace the HTML that Django or a middleware wrote for an error, and keep its headers (such as Allow)."""
    if response.headers.get("Content-Type", "").startswith("text/html"):
        sentence = _SENTENCES.get(response.status_code, "The request could not be answered.")
        problem = Problem(status=response.status_code, message=sentence).response()
        response.content = problem.content
        response.headers["Content-Type"] = problem.headers["Content-Type"]
