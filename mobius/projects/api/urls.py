"""`/v1` of projects and keys."""

from django.urls import path

from mobius.projects.api.views import ApiKeyViewSet, AuditViewSet, PrincipalViewSet, ProjectDirectory

PROJECT = "projects/<str:project>"

urlpatterns = [
    path("projects", ProjectDirectory.as_view({"get": "list"})),
    path(PROJECT, ProjectDirectory.as_view({"get": "retrieve"})),
    path(f"{PROJECT}/principals", PrincipalViewSet.as_view({"get": "list"})),
    path(f"{PROJECT}/audit", AuditViewSet.as_view({"get": "list"})),
    path(f"{PROJECT}/audit/export.<str:format>", AuditViewSet.as_view({"get": "export"})),
    path(f"{PROJECT}/api-keys", ApiKeyViewSet.as_view({"get": "list", "post": "create"})),
    path(f"{PROJECT}/api-keys/<str:key>", ApiKeyViewSet.as_view({"get": "retrieve", "delete": "destroy"})),
]
