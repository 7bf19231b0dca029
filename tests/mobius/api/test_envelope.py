"""Every error as the contract's envelope: ours, DRF's, Django's, and those that nobody foresaw."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from django.core import exceptions as django_errors
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.test import RequestFactory
from django.urls import Resolver404
from rest_framework import exceptions as drf_errors
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mobius import errors
from mobius.api import envelope
from mobius.api.renderers import CompactJSONRenderer


def ask(raised: Exception, **meta: Any) -> HttpResponse:
    class Raising(APIView):
        authentication_classes = ()
        permission_classes = ()
        parser_classes = (JSONParser,)
        renderer_classes = (CompactJSONRenderer,)

        def get_exception_handler(self) -> Any:
            return envelope.answer_exception

        def get(self, request: Request) -> Response:
            raise raised

    return Raising.as_view()(RequestFactory().get("/v1/x", **meta))


def error_of(response: HttpResponse) -> dict[str, Any]:
    assert response.headers["Content-Type"] == "application/json"
    body = json.loads(response.content)
    assert set(body) == {"error"}
    assert set(body["error"]) <= {"code", "message", "details"}
    assert body["error"]["message"]
    return dict(body["error"])


def operational(name: str) -> OperationalError:
    cause = sqlite3.OperationalError("…")
    cause.sqlite_errorname = name
    error = OperationalError("…")
    error.__cause__ = cause
    return error


ANSWERS: list[tuple[Exception, int, str]] = [
    (errors.BadRequest("No."), 400, "bad_request"),
    (errors.InvalidFields({"limit": ["Send a number."]}), 400, "bad_request"),
    (errors.Unauthorized(), 401, "unauthorized"),
    (errors.PermissionDenied(), 403, "permission_denied"),
    (errors.NotFound(), 404, "not_found"),
    (errors.AlreadyExists(), 409, "already_exists"),
    (errors.PayloadTooLarge(), 413, "payload_too_large"),
    (errors.UnsupportedMediaType(), 415, "unsupported_media_type"),
    (errors.RateLimitExceeded(), 429, "rate_limit_exceeded"),
    (errors.ServiceUnavailable(), 503, "service_unavailable"),
    (drf_errors.ParseError(), 400, "bad_request"),
    (drf_errors.ValidationError("No."), 400, "bad_request"),
    (drf_errors.NotAuthenticated(), 401, "unauthorized"),
    (drf_errors.AuthenticationFailed(), 401, "unauthorized"),
    (drf_errors.PermissionDenied(), 403, "permission_denied"),
    (drf_errors.NotFound(), 404, "not_found"),
    (drf_errors.MethodNotAllowed("PUT"), 405, "method_not_allowed"),
    (drf_errors.NotAcceptable(), 406, "not_acceptable"),
    (drf_errors.UnsupportedMediaType("text/plain"), 415, "unsupported_media_type"),
    (drf_errors.Throttled(wait=3.2), 429, "rate_limit_exceeded"),
    (Http404("No Run matches the given query."), 404, "not_found"),
    (django_errors.PermissionDenied(), 403, "permission_denied"),
    (django_errors.SuspiciousOperation("secret"), 400, "bad_request"),
    (django_errors.RequestDataTooBig(), 413, "payload_too_large"),
    (operational("SQLITE_BUSY"), 503, "service_unavailable"),
    (operational("SQLITE_FULL"), 503, "service_unavailable"),
    (OperationalError("server closed the connection unexpectedly"), 503, "service_unavailable"),
]


@pytest.mark.parametrize(("raised", "status", "code"), ANSWERS, ids=lambda value: repr(value)[:60])
def test_an_error_has_its_status_and_its_code(raised: Exception, status: int, code: str) -> None:
    response = ask(raised)

    assert response.status_code == status
    assert error_of(response)["code"] == code


def test_details_are_there_only_when_there_are_some() -> None:
    assert "details" not in error_of(ask(errors.NotFound()))
    assert error_of(ask(errors.InvalidFields({"limit": ["Send a number."]})))["details"] == {
        "fields": {"limit": ["Send a number."]}
    }


def test_a_validation_error_names_the_path_of_each_field() -> None:
    detail: dict[str, Any] = {
        "name": ["Too long."],
        "steps": [{}, {"config": {"duration": ["Bad.", "Worse."]}}],
        "tags": {3: ["No."]},
    }

    error = error_of(ask(drf_errors.ValidationError(detail)))

    assert error["details"]["fields"] == {
        "name": ["Too long."],
        "steps[1].config.duration": ["Bad.", "Worse."],
        "tags[3]": ["No."],
    }


def test_a_stranger_learns_how_to_authenticate() -> None:
    for raised in (errors.Unauthorized(), drf_errors.NotAuthenticated()):
        assert ask(raised).headers["WWW-Authenticate"] == "Bearer"


def test_a_missing_thing_looks_the_same_whoever_noticed() -> None:
    bodies = {ask(e).content for e in (errors.NotFound(), Http404("No Run matches."), drf_errors.NotFound("x"))}

    assert len(bodies) == 1


def test_a_wrong_method_names_the_right_ones() -> None:
    class OnlyGet(APIView):
        authentication_classes = permission_classes = ()
        renderer_classes = (CompactJSONRenderer,)

        def get_exception_handler(self) -> Any:
            return envelope.answer_exception

        def get(self, request: Request) -> Response:
            return Response({})

    response = OnlyGet.as_view()(RequestFactory().put("/v1/x"))

    assert response.status_code == 405
    assert "GET" in response.headers["Allow"]


def test_an_error_is_json_even_for_a_browser() -> None:
    assert error_of(ask(errors.NotFound(), HTTP_ACCEPT="text/html"))["code"] == "not_acceptable"
    assert error_of(ask(errors.NotFound(), HTTP_ACCEPT="text/event-stream"))["code"] == "not_acceptable"


def test_a_limit_says_how_long_to_wait() -> None:
    error = errors.RateLimitExceeded(retry_after_seconds=7)
    error.limit, error.remaining, error.reset_at = 60, 0, 1_790_000_000  # type: ignore[attr-defined]

    headers = ask(error).headers

    assert headers["Retry-After"] == "7"
    assert headers["X-RateLimit-Limit"] == "60"
    assert headers["X-RateLimit-Remaining"] == "0"
    assert headers["X-RateLimit-Reset"] == "1790000000"
    assert "X-RateLimit-Scope" not in headers
    assert ask(drf_errors.Throttled(wait=3.2)).headers["Retry-After"] == "4"


def test_a_busy_database_asks_to_come_back() -> None:
    assert ask(operational("SQLITE_BUSY")).headers["Retry-After"] == "1"
    assert ask(errors.ServiceUnavailable()).headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    "raised", [RuntimeError("password=hunter2"), operational("SQLITE_ERROR"), django_errors.ObjectDoesNotExist()]
)
def test_the_unforeseen_is_logged_and_tells_nothing(raised: Exception, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, logger="mobius.api.envelope"):
        response = ask(raised)

    error = error_of(response)
    assert (response.status_code, error["code"]) == (500, "internal_error")
    assert "hunter2" not in response.content.decode()
    assert "details" not in error
    (record,) = caplog.records
    assert record.exc_info
    assert record.exc_info[1] is raised


def test_texts_that_are_no_unicode_can_still_be_answered() -> None:
    response = ask(errors.BadRequest("half a pair: \ud800"))

    assert json.loads(response.content)["error"]["message"] == "half a pair: \ud800"


HANDLERS: list[tuple[Callable[..., HttpResponse], Exception, int, str]] = [
    (envelope.handler400, django_errors.SuspiciousOperation("x"), 400, "bad_request"),
    (envelope.handler400, django_errors.RequestDataTooBig("x"), 413, "payload_too_large"),
    (envelope.handler403, django_errors.PermissionDenied(), 403, "permission_denied"),
    (envelope.handler404, Resolver404({"path": "v1/x"}), 404, "not_found"),
    (envelope.handler404, Http404("No Run matches."), 404, "not_found"),
]


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/runs/x"])
@pytest.mark.parametrize(("handler", "raised", "status", "code"), HANDLERS)
def test_django_answers_json_under_v1(
    path: str, handler: Callable[..., HttpResponse], raised: Exception, status: int, code: str
) -> None:
    response = handler(RequestFactory().get(path), raised)

    assert response.status_code == status
    assert error_of(response)["code"] == code


def test_a_failure_outside_the_views_is_json_under_v1() -> None:
    def fail(request: HttpRequest, exception: Exception) -> HttpResponse:
        try:
            raise exception
        except Exception:
            return envelope.handler500(request)

    request = RequestFactory().get("/v1/runs")

    assert error_of(fail(request, RuntimeError("secret")))["code"] == "internal_error"
    assert fail(request, operational("SQLITE_BUSY")).status_code == 503


@pytest.mark.parametrize("path", ["/", "/v10/runs", "/projects/v1/"])
def test_other_paths_get_a_page(path: str) -> None:
    response = envelope.handler400(RequestFactory().get(path), django_errors.SuspiciousOperation("x"))

    assert response.status_code == 400
    assert response.headers["Content-Type"].startswith("text/html")
