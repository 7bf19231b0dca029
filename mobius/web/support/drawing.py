"""How the admin shows a state: by the word that its filter has, and the colour and icon that the console has."""

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
        look, word = look_of(str(getattr(thing, column))), getattr(thing, f"get_{column}_display")()
        return render_to_string("partials/status_badge.html", {"look": look, "word": word})

    return shown
