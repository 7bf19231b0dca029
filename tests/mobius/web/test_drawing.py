"""What templates draw with: times, JSON, icons and states."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
import time_machine
from django.template import Context, Template
from django.template.loader import render_to_string
from django.test import RequestFactory

from mobius.api.pagination import Page
from mobius.web.icons import PATHS
from mobius.web.states import LOOKS, look_of
from mobius.web.templatetags.console import ago, latency, pretty_json, when

NOW = datetime(2026, 11, 24, 3, 14, 15, tzinfo=UTC)


def draw(source: str, **context: object) -> str:
    return Template("{% load console %}" + source).render(Context(context))


def test_a_moment_is_a_time_element_in_utc() -> None:
    berlin = NOW.astimezone(timezone(timedelta(hours=1)))

    assert when(berlin) == (
        '<time datetime="2026-11-24T03:14:15.000Z" title="24 Nov 2026, 03:14:15 UTC" data-time="local">'
        "24 Nov 2026, 03:14:15 UTC</time>"
    )
    assert when(None) == ago(None) == "—"


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (timedelta(milliseconds=300), "just now"),
        (timedelta(seconds=59.9), "59 s ago"),
        (timedelta(minutes=3, seconds=50), "3 min ago"),
        (timedelta(hours=23, minutes=59), "23 h ago"),
        (timedelta(days=29), "29 d ago"),
        (timedelta(days=31), "24 Oct 2026"),
        (timedelta(minutes=-5), "in 5 min"),
        (timedelta(hours=-2), "in 2 h"),
    ],
)
def test_a_distance_is_told_in_the_largest_unit_that_fits(before: timedelta, words: str) -> None:
    with time_machine.travel(NOW, tick=False):
        assert f">{words}</time>" in ago(NOW - before)


def test_a_latency_is_short_to_read_however_long_it_was() -> None:
    assert [latency(ms) for ms in (None, "", 0, 84, 20_004)] == ["—", "—", "0 ms", "84 ms", "20.0 s"]


def test_json_is_indented_and_other_text_is_left_alone() -> None:
    assert pretty_json({"name": "Zoë"}) == '{\n  "name": "Zoë"\n}'
    assert pretty_json('{"a":1}') == '{\n  "a": 1\n}'
    assert pretty_json("OK") == "OK"
    assert pretty_json(b"\xff") == "\N{REPLACEMENT CHARACTER}"
    assert pretty_json("[" * 5_000) == "[" * 5_000
    assert pretty_json("1e5") == "1e5"


@pytest.mark.parametrize("text", [r'{"a": "\ud800"}', r'["\u0000"]', '{"a": 1, "a": 2}', "[" * 400 + "]" * 400])
def test_json_that_no_page_could_show_is_left_as_it_came(text: str) -> None:
    assert pretty_json(text) == text


def test_foreign_text_is_escaped_wherever_it_is_drawn() -> None:
    evil = "<script>alert(1)</script>"

    for source in (
        "{{ value|pretty_json }}",
        "{% status_badge value %}",
        '{% include "partials/code.html" with title=value text=value %}',
        '{% include "partials/copyable.html" with text=value label=value %}',
        '{% include "partials/secret_once.html" with label=value secret=value %}',
        '{% include "partials/notice.html" with tone="bad" text=value %}',
        '{% include "partials/empty.html" with icon="plug" title=value text=value %}',
        '{% include "partials/meter.html" with label=value value=1 max=2 text=value %}',
    ):
        assert "<script" not in draw(source, value=evil)


@pytest.mark.parametrize("state", LOOKS)
def test_a_state_is_told_by_icon_and_word(state: str) -> None:
    look = look_of(state)
    badge = draw("{% status_badge state %}", state=state)

    assert look.icon in PATHS
    assert look.meaning
    assert f"tone-{look.tone}" in badge
    assert badge.strip().endswith(f"</svg>{look.word}</span>")


def test_a_state_that_nobody_described_is_still_shown() -> None:
    assert "Half baked" in draw("{% status_badge state %}", state="half_baked")
    assert "Unknown" in draw("{% status_badge state %}", state=None)
    assert "Waiting for Ada" in draw("{% status_badge 'suspended' word='Waiting for Ada' %}")


def test_older_keeps_the_filters_and_newest_drops_only_the_cursor() -> None:
    request = RequestFactory().get("/runs/?state=failed&cursor=a")
    page = Page[object](items=[], has_more=True, next_cursor="b")

    links = render_to_string("partials/pagination.html", {"page": page}, request)

    assert 'href="?state=failed&amp;cursor=b"' in links
    assert 'href="?state=failed"' in links


def test_no_template_has_inline_script_or_style() -> None:
    drawn = [
        draw('{% include "partials/meter.html" with label="x" value=1 max=2 text="1 of 2" %}'),
        draw('{% include "partials/secret_once.html" with label="API key" secret="mbx_x" %}'),
        draw('{% include "partials/code.html" with title="Row" value=1 %}'),
    ]

    assert not any(word in html for html in drawn for word in ("style=", "onclick", "<style", "<script"))
