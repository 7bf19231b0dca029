"""Pages of this app, below `/projects/<handle>/`."""

from django.urls import path

from mobius.alerting.console import recipients, views

urlpatterns = [
    path("govern/alerts/", views.alerts, name="alerts"),
    path("govern/alerts/recipients/", recipients.choose, name="alert_recipients"),
    path("govern/alerts/recipients/<str:recipient_id>/test/", recipients.test, name="alert_recipient_test"),
    path("govern/alerts/recipients/<str:recipient_id>/remove/", recipients.remove, name="alert_recipient_remove"),
]
