"""Every error under `/v1` as `{"error": {"code", "message", "details"?}}`, whoever raised it, and never as HTML."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.core import exceptions as django_errors
from django.core.signals import got_request_exception
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import Resolver404
from django.views import defaults
from rest_framework import exceptions as drf_errors
from rest_framework.request import Request
from rest_framework.views import set_rollback

from mobius import errors
from mobius.api.renderers import to_json
from mobius.api.serializing import invalid_fields
from mobius.engine.trouble import is_orphaned, is_passing

logger = logging.getLogger(__name__)

API_ROOT = "/v1"

_CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "permission_denied",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    409: "conflict",
    411: "length_required",
    413: "payload_too_large",
    415: "unsupported_media_type",
    429: "rate_limit_exceeded",
    500: "internal_error",
    503: "service_unavailable",
}
RATE_LIMIT_HEADERS = {
    "limit": "X-RateLimit-Limit",
    "remaining": "X-RateLimit-Remaining",
    "reset_at": "X-RateLimit-Reset",
    "scope": "X-RateLimit-Scope",
    "policy": "X-RateLimit-Policy",
}
_UNKNOWN_ADDRESS = "There is no such address in this API."
_ORPHANED = "What this belongs to was deleted at the same moment, so nothing was written. Look again."
_OUR_FAULT = "Something went wrong on our side, and it has been logged. Name the X-Request-ID when you ask about it."


@dataclass(frozen=True, kw_only=True)
class Problem:
    """An error as the caller will see it."""

    status: int
    message: str
    code: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        code = self.code or _CODES.get(self.status) or _CODES[400 if self.status < 500 else 500]
        error: dict[str, Any] = {"code": code, "message": self.message}
        if self.details:
            error["details"] = dict(self.details)
        return {"error": error}

    def response(self) -> HttpResponse:
        return HttpResponse(
            to_json(self.body()), status=self.status, content_type="application/json", headers=dict(self.headers)
        )


def is_api(request: HttpRequest) -> bool:
    return request.path_info == API_ROOT or request.path_info.startswith(f"{API_ROOT}/")


def answer_exception(exception: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """DRF's EXCEPTION_HANDLER. Not a DRF Response: an error is JSON whatever the request's Accept asked for."""
    set_rollback()
    request = context.get("request")
    return answer(exception, request._request if isinstance(request, Request) else request)


def answer(exception: BaseException, request: HttpRequest | None) -> HttpResponse:
    """The response to `exception`; what nobody foresaw is logged with its traceback."""
    problem = describe(exception)
    if problem.status >= 500:
        _log(exception, problem, request)
    return problem.response()


def describe(exception: BaseException | None) -> Problem:
    """What the caller may know about `exception`."""
    if isinstance(exception, errors.MobiusError):
        return _of_ours(exception)
    if is_orphaned(exception):
        return _of_ours(errors.NotFound(_ORPHANED))
    if isinstance(exception, drf_errors.APIException):
        return _of_drf(exception)
    return _of_django(exception)


def _of_ours(error: errors.MobiusError) -> Problem:
    return Problem(
        status=error.http_status,
        code=error.code,
        message=error.message,
        details=error.details,
        headers=_headers_of(error),
    )


def _headers_of(error: errors.MobiusError) -> dict[str, str]:
    if error.http_status == 401:
        return {"WWW-Authenticate": "Bearer"}
    headers = {"Retry-After": "1"} if error.http_status == 503 else {}
    if isinstance(error, errors.RateLimitExceeded):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_seconds)))
        known = {header: getattr(error, name) for name, header in RATE_LIMIT_HEADERS.items()}
        headers.update({header: str(value) for header, value in known.items() if value is not None})
    return headers


def _of_drf(error: drf_errors.APIException) -> Problem:
    match error:
        case drf_errors.ValidationError():
            return _of_ours(invalid_fields(error.detail))
        case drf_errors.NotAuthenticated() | drf_errors.AuthenticationFailed():
            # DRF turns these into 403 for views without an authentication class.
            return _of_ours(errors.Unauthorized())
        case drf_errors.NotFound():
            return _of_ours(errors.NotFound())
        case drf_errors.UnsupportedMediaType():
            return _of_ours(errors.UnsupportedMediaType())
        case drf_errors.Throttled():
            return _of_ours(errors.RateLimitExceeded(retry_after_seconds=math.ceil(getattr(error, "wait", None) or 1)))
        case drf_errors.NotAcceptable():
            return Problem(status=406, message="We answer in JSON only: send `Accept: application/json`.")
        case drf_errors.MethodNotAllowed():
            return Problem(status=405, message="This address does not take this method; `Allow` lists those it takes.")
    sentence = error.detail if isinstance(error.detail, str) else "The request was refused."
    return Problem(status=error.status_code, message=str(sentence))


def _of_django(exception: BaseException | None) -> Problem:
    match exception:
        case Resolver404():
            return Problem(status=404, message=_UNKNOWN_ADDRESS)
        case Http404():
            return _of_ours(errors.NotFound())
        case django_errors.PermissionDenied():
            return _of_ours(errors.PermissionDenied())
        case django_errors.RequestDataTooBig():
            return _of_ours(errors.PayloadTooLarge())
        case django_errors.SuspiciousOperation() | django_errors.BadRequest():
            return _of_ours(errors.BadRequest("The request is malformed."))
    if is_passing(exception):
        return _of_ours(errors.ServiceUnavailable())
    return Problem(status=500, message=_OUR_FAULT)


def _log(exception: BaseException, problem: Problem, request: HttpRequest | None) -> None:
    match = getattr(request, "resolver_match", None)
    # The route, not the path: the path of a callback is a secret.
    what = f"{request.method} {match.route}" if request and match else "a request"
    name = getattr(request, "request_id", "-")
    if isinstance(exception, errors.MobiusError) or problem.status == 503:
        logger.warning("%s was answered with %s: %s [%s]", what, problem.status, exception, name)
        return
    logger.error("%s failed unexpectedly [%s]", what, name, exc_info=exception)
    # What error trackers listen to, and Django's test client, which raises the exception in the test.
    got_request_exception.send(sender=None, request=request)


def refusal_page(request: HttpRequest, exception: Exception) -> HttpResponse | None:
    """For what a verb refused and its page did not foresee, as when somebody else was quicker. None: no refusal."""
    if not isinstance(exception, errors.MobiusError) and not is_orphaned(exception):
        return None
    problem = describe(exception)
    if problem.status >= 500:
        return None
    page = render(request, "refused.html", {"problem": problem}, status=problem.status)
    for header, value in problem.headers.items():
        page.headers[header] = value
    return page


def handler400(request: HttpRequest, exception: Exception) -> HttpResponse:
    problem = describe(exception)
    if is_api(request):
        return problem.response()
    if problem.status != 413:
        return defaults.bad_request(request, exception)
    page = defaults.bad_request(request, exception, template_name="413.html")
    page.status_code = problem.status
    return page


def handler403(request: HttpRequest, exception: Exception) -> HttpResponse:
    return describe(exception).response() if is_api(request) else defaults.permission_denied(request, exception)


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:
    return describe(exception).response() if is_api(request) else defaults.page_not_found(request, exception)


def handler500(request: HttpRequest) -> HttpResponse:
    # Django calls this while it handles the exception, and has logged it.
    problem = describe(sys.exc_info()[1])
    if is_api(request):
        return problem.response()
    if problem.status != 503:
        return defaults.server_error(request)
    page = defaults.server_error(request, template_name="503.html")
    page.status_code = problem.status
    for header, value in problem.headers.items():
        page.headers[header] = value
    return page
