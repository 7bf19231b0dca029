"""What templates of the console draw with: `{% load console %}`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from django import template
from django.contrib import admin
from django.db.models import Model
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from mobius.api.parsing import parse_json
from mobius.errors import MobiusError
from mobius.timespans import in_largest_unit, measured
from mobius.web.icons import draw
from mobius.web.states import Look, look_of
from mobius.web.support.linking import page_of

register = template.Library()


@register.filter
def when(moment: datetime | None) -> SafeString | str:
    """The moment in UTC; console.js shows it in the reader's own time, with UTC in the title."""
    if moment is None:
        return "—"
    return _time(moment, _in_words(moment), "local")


@register.filter
def ago(moment: datetime | None) -> SafeString | str:
    """How long ago, or how soon: `3 min ago`, `in 2 h`; older than a month is a date. The title has the moment."""
    if not moment:  # None, or the empty text by which a template says that what should have it is not there
        return "—"
    distance = timezone.now() - moment
    return _time(moment, _distance(distance) or f"{moment.astimezone(UTC):%d %b %Y}".lstrip("0"), "relative")


def _time(moment: datetime, text: str, kind: str) -> SafeString:
    iso = moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    return format_html('<time datetime="{}" title="{}" data-time="{}">{}</time>', iso, _in_words(moment), kind, text)


def _in_words(moment: datetime) -> str:
    utc = moment.astimezone(UTC)
    return f"{utc.day} {utc:%b %Y, %H:%M:%S} UTC"


def _distance(distance: timedelta) -> str:
    """In the largest unit that fits; empty beyond thirty days."""
    if abs(distance) < timedelta(seconds=1):
        return "just now"
    amount = in_largest_unit(abs(distance))
    if not amount:
        return ""
    return f"{amount} ago" if distance > timedelta(0) else f"in {amount}"


@register.filter
def pretty_json(value: Any) -> str:
    """JSON to read, indented; a text that is an object or a list is indented too, any other text is left as it is.

    A stranger's text is read as strictly as a request: half of a surrogate pair could not be shown, and indenting
    what is nested a thousandfold makes megabytes of it.
    """
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        text = str(value)
        if not text.lstrip().startswith(("{", "[")):
            return text
        try:
            value = parse_json(text.encode(errors="replace"))
        except MobiusError:
            return text
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


@register.filter
def counted(number: int) -> str:
    """`50,000`."""
    return f"{number:,}"


@register.filter
def latency(milliseconds: Any) -> str:
    """A number of them, as `840 ms` or `12.3 s`; a dash where nothing was measured."""
    return "—" if milliseconds in (None, "") else measured(timedelta(milliseconds=milliseconds))


@register.simple_tag
def icon(name: str) -> SafeString:
    return draw(name)


@register.simple_tag(takes_context=True)
def admin_link(context: template.Context, thing: Model) -> SafeString | str:
    """To the page of the same thing in Django admin, for staff who may see it there."""
    user = context["user"]
    permission = f"{thing._meta.app_label}.view_{thing._meta.model_name}"
    if not (user.is_staff and admin.site.is_registered(type(thing)) and user.has_perm(permission)):
        return ""
    return format_html('<p class="soft"><a href="{}">Open in admin</a></p>', page_of(thing, thing.pk))


@register.inclusion_tag("partials/status_badge.html")
def status_badge(state: str, word: str = "") -> dict[str, Look | str]:
    """Icon, word and colour of a state; `word` replaces its usual word."""
    look = look_of(str(state or "unknown"))
    return {"look": look, "word": word or look.word}
