"""Pages of this app, below `/projects/<handle>/`."""

from django.urls import path

from mobius.notifying.console import log, views

urlpatterns = [
    path("govern/webhooks/", views.webhooks, name="webhooks"),
    path("govern/webhooks/<str:webhook_id>/", views.webhook, name="webhook"),
    path("govern/webhooks/<str:webhook_id>/save/", views.save, name="webhook_save"),
    path("govern/webhooks/<str:webhook_id>/ping/", views.ping, name="webhook_ping"),
    path("govern/webhooks/<str:webhook_id>/switch/", views.switch, name="webhook_switch"),
    path("govern/webhooks/<str:webhook_id>/rotate/", views.rotate, name="webhook_rotate"),
    path("govern/webhooks/<str:webhook_id>/delete/", views.delete, name="webhook_delete"),
    path("govern/webhooks/<str:webhook_id>/deliveries/<str:notification_id>/", log.delivery, name="webhook_delivery"),
    path(
        "govern/webhooks/<str:webhook_id>/deliveries/<str:notification_id>/redeliver/",
        log.redeliver,
        name="webhook_redeliver",
    ),
]
