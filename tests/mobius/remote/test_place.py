"""Which console, which key, which project."""

from __future__ import annotations

import click
import pytest

from mobius.remote.place import HERE, Place, find_place

KEY = "mbx_abcdefgh12345678"


def place(url: str | None = None, key: str | None = KEY, project: str | None = None) -> Place:
    return find_place(url=url, key=key, project=project)


def test_without_a_word_it_is_the_console_of_this_machine_and_the_project_default() -> None:
    found = place()

    assert (found.url, found.project) == (HERE, "default")


def test_options_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("API_URL", "https://there"), ("API_KEY", "mbx_other"), ("PROJECT", "other")):
        monkeypatch.setenv(f"MOBIUS_{name}", value)

    theirs = find_place(url=None, key=None, project=None)
    ours = place("https://here", KEY, "platform")

    assert (theirs.url, theirs.key, theirs.project) == ("https://there", "mbx_other", "other")
    assert (ours.url, ours.key, ours.project) == ("https://here", KEY, "platform")


def test_a_key_with_a_suffix_names_its_project() -> None:
    found = place(key=f"{KEY}.platform")

    assert (found.project, found.key) == ("platform", f"{KEY}.platform")


def test_a_project_that_the_key_does_not_belong_to_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(click.UsageError, match="belongs to the project “platform”, but --project says “other”"):
        place(key=f"{KEY}.platform", project="other")


@pytest.mark.parametrize("key", ["", "  ", None])
def test_without_a_key_it_says_where_keys_come_from(key: str | None) -> None:
    with pytest.raises(click.UsageError, match=r"Set MOBIUS_API_KEY.*mobius key create"):
        place(key=key)


@pytest.mark.parametrize("key", ["mbx_a\nX-Other: 1", "mbx_ä", "two words"])
def test_what_cannot_stand_in_a_header_is_no_key(key: str) -> None:
    with pytest.raises(click.UsageError, match="is no API key"):
        place(key=key)


@pytest.mark.parametrize("url", ["https://a.example/", "https://a.example/v1", "https://a.example/v1/"])
def test_an_address_may_end_as_people_copy_it(url: str) -> None:
    assert place(url).url == "https://a.example"


@pytest.mark.parametrize(
    "url",
    [
        "a.example",
        "ftp://a",
        "http://",
        "http://a:port",
        "https://u:p@a",
        "http://:p@a",
        "http://a..b",
        "https://a?b",
        "https://ä",
        "http://[",
        "http://a b",
    ],
)
def test_what_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(click.UsageError, match="--api-url must be the console's web address alone"):
        place(url)


def test_the_key_is_not_in_what_a_place_prints() -> None:
    assert KEY not in repr(place())
    assert place().key_begins == "mbx_abcd…"
