from __future__ import annotations

from django.apps import AppConfig


class WebConfig(AppConfig):
    name = "mobius.web"
    label = "web"
    verbose_name = "Console"
