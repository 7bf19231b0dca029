"""What every folder below `integrations/providers` must keep, whoever wrote it."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from django import forms

from integrations import providers
from integrations.headers import check_headers
from integrations.providers.contract import (
    Action,
    Connection,
    Diagnosis,
    Exchange,
    Failure,
    OutgoingRequest,
    Provider,
)
from integrations.providers.errors import ActionInputInvalid, UnknownProvider
from integrations.providers.recipes import Call, Column
from integrations.providers.registry import all_actions, all_providers, get_provider

CONNECTION = Connection(
    webhook_url="https://hooks.example.com/secret-path",
    auth_header_name="x-token",
    auth_header_value="secret-value",
)
FORBIDDEN = ("django.db", "rest_framework", "loops", "requests", "urllib3", "mobius.projects")
HTTP_CLIENTS = ("requests", "urllib3", "http.client", "urllib.request")  # a simulator is a world of its own
FOLDERS = sorted(path.parent for path in Path(providers.__path__[0]).glob("*/__init__.py"))
EXCHANGES = [
    *(Exchange(request_began=True, status=status) for status in [*range(200, 600), 999]),
    *(Exchange(request_began=began, failure=failure) for failure in Failure for began in (True, False)),
    Exchange(request_began=True),
    *(
        Exchange(request_began=True, status=200, body=body)
        for body in (b"", b"OK", b"[1]", b"{", b"\xff\xfe", b"[" * 9999)
    ),
]


@pytest.fixture(params=list(all_providers().values()), ids=lambda provider: provider.id)
def provider(request: pytest.FixtureRequest) -> Provider:
    chosen: Provider = request.param
    return chosen


@pytest.fixture(params=list(all_actions()))
def action(request: pytest.FixtureRequest) -> Action:
    return all_actions()[request.param][1]


def test_every_folder_is_a_provider_named_like_it() -> None:
    assert [folder.name for folder in FOLDERS] == list(all_providers())
    assert all(provider.id == name for name, provider in all_providers().items())


def test_an_unknown_provider_is_an_error_with_its_name() -> None:
    with pytest.raises(UnknownProvider, match="airtable"):
        get_provider("airtable")


def test_a_provider_says_what_it_is(provider: Provider) -> None:
    assert provider.name
    assert provider.description.endswith(".")
    assert provider.category
    assert provider.capabilities.actions == bool(provider.actions)
    assert provider.submit in provider.actions


def test_its_actions_begin_with_its_id(provider: Provider) -> None:
    for action in provider.actions:
        assert provider.action_name(action) == f"{provider.id}.{action.suffix}"
        assert all_actions()[provider.action_name(action)] == (provider, action)


def test_its_form_names_the_webhook_and_hides_the_secret(provider: Provider) -> None:
    form = provider.connect_form()

    assert issubclass(provider.connect_form, forms.Form)
    assert {"webhook_url", "auth_header_name", "auth_header_value"} <= set(form.fields)
    assert isinstance(form.fields["auth_header_value"].widget, forms.PasswordInput)
    assert not form.fields["auth_header_value"].widget.render_value
    for field in form.fields.values():
        assert field.initial is None, "an initial value would be sent by whoever leaves the field alone"


def test_its_form_gives_the_connection(provider: Provider) -> None:
    form = provider.connect_form({"webhook_url": "https://hooks.example.com/x"})

    assert form.is_valid(), form.errors
    assert form.connection == Connection(webhook_url="https://hooks.example.com/x")
    assert isinstance(form.warnings(), list)


@pytest.mark.parametrize(
    "data", [{}, {"webhook_url": "http://10.0.0.1/"}, {"webhook_url": "x", "auth_header_name": "a"}]
)
def test_its_form_refuses_what_cannot_work(provider: Provider, data: dict[str, str]) -> None:
    assert not provider.connect_form(data).is_valid()


def test_its_allowance_is_positive(provider: Provider) -> None:
    allowance = provider.allowance

    assert allowance.burst >= 1
    assert allowance.rate_per_second is None or allowance.rate_per_second > 0
    assert allowance.submission_limit is None or allowance.submission_limit > 0


def test_its_sample_row_is_a_row(provider: Provider) -> None:
    row = provider.submit.read({"payload": dict(provider.sample_row)})
    request = provider.submit.request(CONNECTION, row.payload)

    assert json.loads(request.body) == provider.sample_row
    assert provider.test_costs


def test_its_recipe_if_it_has_one_can_be_drawn(provider: Provider) -> None:
    if provider.recipes is None:
        return
    call = Call(url="https://console.example.com/", body={"a": Column(name="A")}, needs_key=True, per_second=None)

    recipe = provider.recipes.write(call)

    assert len({block.label for block in recipe.blocks}) == len(recipe.blocks) > 0
    assert any(block.copied == call.url for block in recipe.blocks)
    assert [column for block in recipe.blocks for column in block.columns] == [Column(name="A")]
    assert recipe.clicks
    assert recipe.account is not None
    assert provider.recipes.write(replace(call, needs_key=False)).account is None


def test_whatever_happens_it_has_a_diagnosis(provider: Provider) -> None:
    for exchange in EXCHANGES:
        diagnosis = provider.diagnose(exchange)

        assert isinstance(diagnosis, Diagnosis)
        assert diagnosis.cause
        assert bool(diagnosis.fix) != exchange.accepted, "all but a success says the one thing to do"


def test_an_action_describes_itself(action: Action) -> None:
    assert action.title
    assert action.description
    for schema in (action.input_schema, action.output_schema):
        assert schema["type"] == "object"
        assert json.loads(json.dumps(schema)) == schema


def test_an_action_s_request_can_be_sent_and_shows_no_secret(action: Action) -> None:
    request = action.request(CONNECTION, {"email": "ada@example.com"})

    assert isinstance(request, OutgoingRequest)
    assert check_headers(request.headers)["x-token"] == "secret-value"
    assert request.url == CONNECTION.webhook_url
    assert "secret" not in repr(request) + repr(CONNECTION)


def test_an_action_without_an_auth_header_sends_none(action: Action) -> None:
    request = action.request(Connection(webhook_url=CONNECTION.webhook_url), {})

    assert {name.lower() for name in request.headers} <= {"content-type"}


@pytest.mark.parametrize("parameters", [{}, {"payload": None}, {"payload": []}, {"payload": {}, "zzz": 1}])
def test_an_action_refuses_what_is_no_row(action: Action, parameters: dict[str, object]) -> None:
    with pytest.raises(ActionInputInvalid):
        action.read(parameters)


def test_an_action_invents_no_request_id(action: Action) -> None:
    assert action.read({"payload": {}}).request_id == ""


def test_an_action_s_output_is_json_whatever_was_answered(action: Action) -> None:
    for exchange in EXCHANGES:
        output = action.output(exchange, "r-1")

        assert output["ok"] is True
        assert json.loads(json.dumps(output)) == output


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_provider_s_folder_imports_only_what_it_may(folder: Path) -> None:
    for path in folder.rglob("*.py"):
        if "tests" in path.relative_to(folder).parts:
            continue
        for name in imported(path):
            assert not name.startswith(FORBIDDEN), f"{path.name} imports {name}"
            assert not name.startswith(HTTP_CLIENTS) or path.stem.startswith("simulat"), f"{path.name} imports {name}"
            assert not name.startswith("integrations"), f"{path.name} imports {name}: inside a provider, relatively"


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""


def test_no_provider_s_id_stands_outside_its_folder() -> None:
    """A second provider is one new folder and nothing else: no settings, no migration, no model knows the first."""
    root = Path(providers.__path__[0]).parents[1]
    files = [
        *(root / "integrations").glob("*.py"),
        *(root / "integrations" / "api").glob("*.py"),
        *(root / "integrations" / "migrations").glob("*.py"),
        *(root / "integrations" / "providers").glob("*.py"),
        root / "mobius" / "settings.py",
    ]
    for path in files:
        literals = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        assert literals.isdisjoint(all_providers()), path
