"""`/v1` of this app."""

from django.urls import path

from mobius.alerting.api.views import AlertViewSet

urlpatterns = [path("projects/<str:project>/alerts", AlertViewSet.as_view({"get": "list"}))]
