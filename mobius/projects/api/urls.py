"""`/v1` of projects, principals and keys."""

from django.urls import path

from mobius.projects.api.principals import PrincipalViewSet
from mobius.projects.api.projects import ProjectDirectory
from mobius.projects.api.views import ApiKeyViewSet, AuditViewSet

PROJECT = "projects/<str:project>"

urlpatterns = [
    path("projects", ProjectDirectory.as_view({"get": "list", "post": "create"})),
    path(PROJECT, ProjectDirectory.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"})),
    path(f"{PROJECT}/capabilities", ProjectDirectory.as_view({"get": "capabilities"})),
    path(f"{PROJECT}/principals", PrincipalViewSet.as_view({"get": "list", "post": "create"})),
    path(
        f"{PROJECT}/principals/<str:principal>",
        PrincipalViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"}),
    ),
    path(f"{PROJECT}/audit", AuditViewSet.as_view({"get": "list"})),
    path(f"{PROJECT}/audit/export.<str:kind>", AuditViewSet.as_view({"get": "export"})),
    path(f"{PROJECT}/api-keys", ApiKeyViewSet.as_view({"get": "list", "post": "create"})),
    path(f"{PROJECT}/api-keys/<str:key>", ApiKeyViewSet.as_view({"get": "retrieve", "delete": "destroy"})),
]
