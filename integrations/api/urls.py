"""`/v1` of this app."""

from django.urls import path

from integrations.api.actions import ActionViewSet
from integrations.api.views import DeliveryViewSet, IntegrationViewSet, ProviderViewSet

INTEGRATIONS = "projects/<str:project>/integrations"

urlpatterns = [
    path(f"{INTEGRATIONS}/providers", ProviderViewSet.as_view({"get": "list"})),
    path(f"{INTEGRATIONS}/providers/<str:provider>/connect", ProviderViewSet.as_view({"post": "connect"})),
    path(INTEGRATIONS, IntegrationViewSet.as_view({"get": "list", "post": "create"})),
    path(
        f"{INTEGRATIONS}/<str:integration>",
        IntegrationViewSet.as_view({"get": "retrieve", "put": "update", "delete": "destroy"}),
    ),
    path("projects/<str:project>/catalog/actions", ActionViewSet.as_view({"get": "list"})),
    path("projects/<str:project>/catalog/actions/<str:action>", ActionViewSet.as_view({"get": "retrieve"})),
    path("projects/<str:project>/actions/<str:action>/invoke", ActionViewSet.as_view({"post": "invoke"})),
    path("projects/<str:project>/deliveries", DeliveryViewSet.as_view({"get": "list"})),
    path("projects/<str:project>/deliveries/<str:delivery>", DeliveryViewSet.as_view({"get": "retrieve"})),
    path(
        f"{INTEGRATIONS}/<str:integration>/successor",
        IntegrationViewSet.as_view({"get": "successor", "put": "stage", "delete": "unstage"}),
    ),
    path(f"{INTEGRATIONS}/<str:integration>/successor/test", IntegrationViewSet.as_view({"post": "test_successor"})),
    path(f"{INTEGRATIONS}/<str:integration>/test", IntegrationViewSet.as_view({"post": "test"})),
]
