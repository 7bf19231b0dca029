from django.apps import AppConfig


class AlertingConfig(AppConfig):
    name = "mobius.alerting"
    label = "alerting"
    default_auto_field = "django.db.models.BigAutoField"
