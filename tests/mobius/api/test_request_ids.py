"""ApiMiddleware: what every answer under `/v1` carries, and that no HTML error leaves there."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseNotFound, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.test import RequestFactory

from mobius.api.requests import ApiMiddleware
from mobius.errors import NotFound, RateLimitExceeded, ServiceUnavailable


def through(response: HttpResponseBase, path: str = "/v1/runs", **meta: Any) -> HttpResponseBase:
    return ApiMiddleware(lambda request: response)(RequestFactory().get(path, **meta))


def test_every_answer_under_v1_has_an_id_and_stays_out_of_caches() -> None:
    for response in (HttpResponse("{}"), StreamingHttpResponse([b"data: 1\n\n"])):
        headers = through(response).headers

        assert headers["X-Request-ID"].startswith("req_")
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"


def test_also_one_to_an_address_that_no_database_can_look_up() -> None:
    answer = through(HttpResponse("{}"), "/v1/projects/%00")

    assert answer.status_code == 404
    assert answer.headers["X-Request-ID"].startswith("req_")


def test_pages_are_left_alone() -> None:
    assert "X-Request-ID" not in through(HttpResponse("page"), "/projects/platform/").headers


@pytest.mark.parametrize("name", ["abc", "7f9c-1:2.3_4~5+6=", "x" * 64])
def test_a_sane_id_of_the_caller_is_kept(name: str) -> None:
    assert through(HttpResponse(), HTTP_X_REQUEST_ID=name).headers["X-Request-ID"] == name


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "a\nb", "a\n", "<script>", "é", '"'])
def test_any_other_is_replaced(name: str) -> None:
    assert through(HttpResponse(), HTTP_X_REQUEST_ID=name).headers["X-Request-ID"].startswith("req_")


def test_the_view_can_name_the_request() -> None:
    seen: list[str] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(request.request_id)  # type: ignore[attr-defined]
        return HttpResponse()

    response = ApiMiddleware(view)(RequestFactory().get("/v1/x", HTTP_X_REQUEST_ID="mine"))

    assert seen == [response.headers["X-Request-ID"]] == ["mine"]


@pytest.mark.parametrize(
    ("html", "code"),
    [(HttpResponseNotFound("<h1>Not found</h1>"), "not_found"), (HttpResponse("<b>", status=500), "internal_error")],
)
def test_an_error_page_becomes_json(html: HttpResponse, code: str) -> None:
    response = through(html)

    assert isinstance(response, HttpResponse)
    assert response.headers["Content-Type"] == "application/json"
    assert json.loads(response.content)["error"]["code"] == code


def test_a_wrong_method_keeps_its_allow_header() -> None:
    response = through(HttpResponseNotAllowed(["POST"]))

    assert isinstance(response, HttpResponse)
    assert response.headers["Allow"] == "POST"
    assert json.loads(response.content)["error"]["code"] == "method_not_allowed"


def test_a_page_that_is_no_error_may_be_html() -> None:
    response = through(HttpResponse("<h1>API reference</h1>"))

    assert isinstance(response, HttpResponse)
    assert response.content == b"<h1>API reference</h1>"


def test_an_exception_of_a_plain_view_is_answered_in_json() -> None:
    middleware = ApiMiddleware(lambda request: HttpResponse())

    response = middleware.process_exception(RequestFactory().get("/v1/callbacks/x"), NotFound())

    assert response is not None
    assert json.loads(response.content)["error"]["code"] == "not_found"


def test_what_a_page_did_not_foresee_is_answered_by_a_page_and_a_fault_is_none_of_it() -> None:
    middleware = ApiMiddleware(lambda request: HttpResponse())
    request = RequestFactory().get("/projects/")

    refused = middleware.process_exception(request, NotFound("It is gone."))
    busy = middleware.process_exception(request, RateLimitExceeded("Too many.", retry_after_seconds=7))

    assert refused is not None
    assert (refused.status_code, "It is gone." in refused.content.decode()) == (404, True)
    assert busy is not None
    assert (busy.status_code, busy.headers["Retry-After"]) == (429, "7")
    assert middleware.process_exception(request, ServiceUnavailable()) is None
    assert middleware.process_exception(request, ValueError("a fault")) is None


def test_a_body_without_a_length_is_not_taken_for_an_empty_one() -> None:
    request = RequestFactory().post("/v1/runs", HTTP_TRANSFER_ENCODING="chunked", CONTENT_LENGTH="")

    response = ApiMiddleware(lambda request: HttpResponse("never"))(request)

    assert response.status_code == 411
