"""`/v1` of this app."""

from django.urls import path

from mobius.notifying.api.views import DeliveryLogViewSet, WebhookViewSet

WEBHOOKS = "projects/<str:project>/webhooks"

urlpatterns = [
    path(WEBHOOKS, WebhookViewSet.as_view({"get": "list", "post": "create"})),
    path(
        f"{WEBHOOKS}/<str:webhook>",
        WebhookViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"}),
    ),
    path(f"{WEBHOOKS}/<str:webhook>/secret/rotate", WebhookViewSet.as_view({"post": "rotate"})),
    path(f"{WEBHOOKS}/<str:webhook>/ping", WebhookViewSet.as_view({"post": "ping"})),
    path(f"{WEBHOOKS}/<str:webhook>/deliveries", DeliveryLogViewSet.as_view({"get": "list"})),
    path(f"{WEBHOOKS}/<str:webhook>/deliveries/<str:notification>", DeliveryLogViewSet.as_view({"get": "retrieve"})),
    path(
        f"{WEBHOOKS}/<str:webhook>/deliveries/<str:notification>/redeliver",
        DeliveryLogViewSet.as_view({"post": "redeliver"}),
    ),
]
