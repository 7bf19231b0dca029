"""How the admin shows a state: by the same word, colour and icon as the console."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from mobius.web.states import look_of


def badge(column: str, label: str = "") -> Any:
    """A column of lists and pages: the state in `column` as a badge."""

    @admin.display(description=label or column)
    def shown(model_admin: Any, thing: Any) -> SafeString:
        state = getattr(thing, column)
        look = look_of(str(state))
        return render_to_string("partials/status_badge.html", {"look": look, "word": look.word})

    return shown
