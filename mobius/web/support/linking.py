"""From a page of Django admin to the page of the same thing in the console, to its audit, and to other pages of it."""

from __future__ import annotations

from operator import attrgetter
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import resolve, reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from mobius.errors import NotFound
from mobius.projects.access import access_for
from mobius.projects.audit_models import AuditEvent
from mobius.projects.roles import Permission

EMPTY = "—"  # as the console shows it


def page_of(model: type[Model] | Model, key: Any) -> str:
    """The address of the admin page of `model`'s row `key`."""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[quote(key)])


def list_of(model: type[Model] | Model, **query: Any) -> str:
    """The address of the admin list of `model`, searched or filtered."""
    return f"{reverse(f'admin:{model._meta.app_label}_{model._meta.model_name}_changelist')}?{urlencode(query)}"


def link(model: type[Model], key: Any, label: str = "") -> SafeString | str:
    """To the admin page of `model`'s row `key`."""
    return format_html('<a href="{}">{}</a>', page_of(model, key), label or key) if key else EMPTY


class LinkedPages(admin.ModelAdmin):  # type: ignore[type-arg]
    """Pages with a way to the console, to the audit, and to the deeds that the list offers."""

    console: ClassVar[tuple[str, ...]] = ()  # the name of the page there, and what its address takes beside the handle
    owner: ClassVar[str] = "project"  # the way to the project; "": it is the project

    def render_change_form(
        self,
        request: HttpRequest,
        context: Any,
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        if obj is not None:
            context |= {
                "console_page": self.console_page(request, obj),
                "deeds": [(deed[1], deed[2]) for deed in self.get_actions(request).values() if deed],
                "asking": list_of(obj, q=obj.pk),
            }
        return super().render_change_form(request, context, add, change, form_url, obj)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """What was done to it stands in the audit, whichever door it came through."""
        return redirect(list_of(AuditEvent, q=unquote(object_id)))

    def console_page(self, request: HttpRequest, thing: Any) -> str:
        """Its address in the console; "" when it has none, or for somebody who may not open it."""
        try:
            project = attrgetter(self.owner)(thing) if self.owner else thing
        except (ObjectDoesNotExist, AttributeError):  # it is gone, or belongs to no project
            project = None
        if project is None or not self.console:
            return ""
        name, *keys = self.console
        page = reverse(f"console:{name}", args=[project.handle, *(attrgetter(key)(thing) for key in keys)])
        return page if _may_open(request.user, project.handle, page) else ""


def _may_open(user: Any, handle: str, page: str) -> bool:
    needs: Permission = resolve(page).func.needs  # type: ignore[attr-defined]  # `project_page` says it
    try:
        return access_for(user, handle).allows(needs)
    except NotFound:
        return False
