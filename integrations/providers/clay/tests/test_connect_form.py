"""Connecting Clay: what the form takes, and what it warns of though it takes it."""

from __future__ import annotations

import pytest

from integrations.providers.clay.forms import TOKEN_HEADER, ClayConnectForm
from integrations.providers.contract import Connection

URL = "https://api.clay.com/v3/sources/webhook/pull-in-data-1"


def form(url: str = URL, name: str = "", value: str = "") -> ClayConnectForm:
    return ClayConnectForm({"webhook_url": url, "auth_header_name": name, "auth_header_value": value})


def warnings(url: str = URL, name: str = "", value: str = "") -> list[str]:
    bound = form(url, name, value)
    assert bound.is_valid(), bound.errors
    found: list[str] = bound.warnings()
    return found


def test_the_labels_are_mobius_s() -> None:
    assert [field.label for field in ClayConnectForm().fields.values()] == [
        "Webhook URL",
        "Auth header name",
        "Auth header value",
    ]


def test_the_token_s_header_is_offered_but_never_filled_in() -> None:
    drawn = str(ClayConnectForm())

    assert f'placeholder="{TOKEN_HEADER}"' in drawn
    assert f'value="{TOKEN_HEADER}"' not in drawn


def test_a_webhook_without_a_token_connects() -> None:
    bound = form()

    assert bound.is_valid()
    assert bound.connection == Connection(webhook_url=URL)


def test_a_webhook_with_a_token_connects() -> None:
    bound = form(name=TOKEN_HEADER, value="token-1")

    assert bound.is_valid()
    assert bound.connection.auth_header_value == "token-1"


@pytest.mark.parametrize(
    ("name", "value", "field"), [("x-token", "", "auth_header_value"), ("", "token-1", "auth_header_name")]
)
def test_half_a_header_is_refused_at_the_missing_half(name: str, value: str, field: str) -> None:
    assert list(form(name=name, value=value).errors) == [field]


def test_a_wrong_half_is_told_once() -> None:
    assert list(form(name="a b", value="token-1").errors) == ["auth_header_name"]


def test_the_value_is_not_drawn_again_after_an_error() -> None:
    assert "hush-hush" not in str(form(url="http://x", name="a", value="hush-hush"))


def test_clay_s_own_address_raises_no_warning() -> None:
    assert warnings() == []
    assert warnings(name=TOKEN_HEADER, value="token-1") == []


def test_another_host_is_taken_with_a_warning() -> None:
    (warning,) = warnings("https://hooks.example.com/v3/sources/webhook/x")

    assert "rows will go to hooks.example.com" in warning


def test_another_path_at_clay_is_taken_with_a_warning() -> None:
    (warning,) = warnings("https://api.clay.com/v3/sources/webhok/x")

    assert "is this one complete?" in warning


@pytest.mark.parametrize("name", ["Authorization", "AUTHORIZATION"])
def test_authorization_at_clay_is_taken_with_a_warning(name: str) -> None:
    (warning,) = warnings(name=name, value="Bearer token-1")

    assert TOKEN_HEADER in warning
    assert "without the word Bearer" in warning


def test_authorization_elsewhere_is_usual() -> None:
    assert len(warnings("https://hooks.example.com/x", "Authorization", "Bearer x")) == 1
