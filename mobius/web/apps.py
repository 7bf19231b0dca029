from __future__ import annotations

from django.apps import AppConfig
from django.contrib import admin
from django.contrib.admin import apps


class WebConfig(AppConfig):
    default = True
    name = "mobius.web"
    label = "web"
    verbose_name = "Console"


class SupportSiteConfig(apps.AdminConfig):
    """Django admin with a site of our own."""

    default = False
    default_site = "mobius.web.support.site.SupportSite"

    def ready(self) -> None:
        """A queue of rings says nothing to support: they are gone once they are heard."""
        super().ready()
        site = admin.site
        rings = [model for model in site._registry if model._meta.app_label == "procrastinate"]
        site.unregister(rings)
