"""Whatever is sent to whatever address: no fault of ours, no HTML, and no answer that the description does not know.

Schemathesis makes the requests out of the description itself: such as fit it, and such as break it in one place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from mobius.openapi.operations import TAGGED
from mobius.projects import throttling
from tests import described
from tests.cast import Api
from tests.mobius.openapi.conftest import Places, places_for

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
THOROUGH = settings(
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(autouse=True)
def _one_connection() -> Iterator[None]:
    """The test's transaction outlives each request."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture(scope="session")
def api_schema() -> Any:
    from mobius.wsgi import application  # only now does it find the directory of static files

    schema = schemathesis.openapi.from_dict(described.description())
    schema.app = application
    return schema


def try_out(operation: Any, mode: GenerationMode, api: Api, places: Places | None, examples: int) -> None:
    bearer = {"Authorization": f"Bearer {api.key.text}"}

    @settings(THOROUGH, max_examples=examples)
    @given(case=operation.as_strategy(mode, path_parameters=places, headers=bearer))
    def send(case: Any) -> None:
        throttling.forget()
        with transaction.atomic():  # each finds everything as it was
            answer = case.call_and_validate(checks=CHECKS)
            transaction.set_rollback(True)
        assert "text/html" not in answer.headers.get("content-type", "")
        if answer.status_code >= 400:
            assert set(answer.json()) == {"error"}

    send()


@pytest.mark.parametrize("tag", TAGGED)
def test_no_request_gets_an_answer_that_is_not_described(api_schema: Any, api: Api, places: Places, tag: str) -> None:
    for said in TAGGED[tag].values():
        operation = api_schema.find_operation_by_id(said.id)
        real = {name: places_for(said.id, places)[name] for name in names_in(operation)}

        try_out(operation, GenerationMode.POSITIVE, api, real, examples=15)
        if said.body or said.query or said.headers:
            try_out(operation, GenerationMode.NEGATIVE, api, real, examples=15)


@pytest.mark.parametrize("tag", TAGGED)
def test_nor_does_one_to_an_address_of_nothing(api_schema: Any, api: Api, places: Places, tag: str) -> None:
    for said in TAGGED[tag].values():
        operation = api_schema.find_operation_by_id(said.id)
        if names_in(operation):
            try_out(operation, GenerationMode.POSITIVE, api, None, examples=5)


def names_in(operation: Any) -> list[str]:
    """The placeholders of its address."""
    return [parameter.name for parameter in operation.path_parameters]
