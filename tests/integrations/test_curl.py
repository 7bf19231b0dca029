"""Reading a pasted curl command, in the shapes in which people copy it."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.curl import CurlRequest, UnreadableCurl, is_curl, read_curl

URL = "https://api.clay.com/v3/sources/webhook/pull-in-data-from-a-webhook-0f1e"
AUTH = ("x-clay-webhook-auth", "t0ken")


@pytest.mark.parametrize(
    "command",
    [
        f"curl {URL} -H 'x-clay-webhook-auth: t0ken'",
        f"curl -X POST {URL} -H x-clay-webhook-auth:t0ken -d '{{}}'",
        f'curl -XPOST "{URL}" --header "x-clay-webhook-auth: t0ken"',
        f"curl --header='x-clay-webhook-auth: t0ken' --url={URL}",
        f"curl --request POST --url '{URL}' --header 'x-clay-webhook-auth: t0ken'",
        f"  $ curl -sSL '{URL}' -H'x-clay-webhook-auth: t0ken'",
        f'curl.exe --location {URL} -H "x-clay-webhook-auth: t0ken"',
        f"curl -X POST \\\n  '{URL}' \\\n  -H 'x-clay-webhook-auth: t0ken' \\\n  -d '{{\"a\": 1}}'",
        f"curl -X POST \\\r\n'{URL}' \\ \r\n-H 'x-clay-webhook-auth: t0ken'",
        # A text field drops the line breaks and leaves the backslashes.
        f"curl -X POST \\  '{URL}' \\  -H 'x-clay-webhook-auth: t0ken' \\",
        f'curl -X POST ^\r\n  "{URL}" ^\r\n  -H "x-clay-webhook-auth: t0ken" ^\r\n  -d "{{\\"a\\": 1}}"',
        f'curl ^"{URL}^" ^\n  -H ^"x-clay-webhook-auth: t0ken^"',
        f"curl {URL} -H $'x-clay-webhook-auth: t\\x30ken' --data-raw $'it\\'s'",
        f"curl {URL} -H 'x-clay-webhook-auth: t0ken' --data-raw 'costs 5$' -H 'content-type: application/json'",
        f"curl {URL} -H 'x-clay-webhook-auth: t0ken' -d '{{\"callback\": \"https://example.com\"}}'",
        f"curl {URL} -H 'Accept: */*' -H 'User-Agent: x' -H 'X-Empty:' -H 'x-clay-webhook-auth: t0ken' --compressed",
        f"curl '{URL}' -H 'x-other: 1' -H 'x-clay-webhook-auth: t0ken'",
    ],
)
def test_a_command_is_read_as_the_shell_would_read_it(command: str) -> None:
    request = read_curl(command)

    assert is_curl(command)
    assert request.url == URL
    assert request.auth_header("X-Clay-Webhook-Auth") == AUTH


def test_a_command_without_a_header_gives_the_address_alone() -> None:
    assert read_curl(f"curl {URL} -H 'Content-Type: application/json'").auth_header() == ("", "")


def test_an_address_without_a_scheme_is_left_for_the_form_to_judge() -> None:
    assert read_curl("curl api.clay.com/x").url == "api.clay.com/x"


@pytest.mark.parametrize("text", ["", URL, "curling.example", "curl", "wget https://example.com"])
def test_other_text_is_no_curl_command(text: str) -> None:
    assert not is_curl(text)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("wget https://example.com", "not a curl command"),
        ("curl -X POST", "no web address"),
        (f"curl '{URL} -H 'x: s3cret'", "never closed"),
        (f"curl {URL} -H", "ends after -H"),
        (f"curl {URL} https://example.com/s3cret", "several web addresses"),
        (f"curl {URL} -H s3cret", "no colon"),
        (f"curl {URL} -H @s3cret.txt", "from a file"),
        (f"curl {URL} -u me:s3cret", "signs in with -u"),
        (f"curl {URL} --user=me:s3cret", "signs in with --user"),
        (f"curl {URL} -d " + "s3cret" * 20_000, "very long"),
    ],
)
def test_what_cannot_be_read_is_explained_without_repeating_a_value(command: str, reason: str) -> None:
    with pytest.raises(UnreadableCurl) as caught:
        read_curl(command)

    assert reason in caught.value.message
    assert "s3cret" not in caught.value.message


def test_several_headers_are_not_guessed_at() -> None:
    request = read_curl(f"curl {URL} -H 'x-one: s3cret' -H 'x-two: s3cret'")

    with pytest.raises(UnreadableCurl, match=r"x-one, x-two") as caught:
        request.auth_header("x-clay-webhook-auth")
    assert "s3cret" not in caught.value.message


def test_a_request_does_not_print_its_secrets() -> None:
    assert repr(read_curl(f"curl {URL} -H 'x: y'")) == "CurlRequest()"


@given(st.text(alphabet="curl -H'\"\\$^\n:/x@=dXu{}", max_size=60))
def test_no_text_makes_it_fail_in_another_way(text: str) -> None:
    with contextlib.suppress(UnreadableCurl):
        assert isinstance(read_curl(f"curl {text}"), CurlRequest)
