"""Pages of this app, below `/projects/<handle>/`."""

from django.urls import path

from mobius.projects.console import audit, views

urlpatterns = [
    path("govern/audit/", audit.audit, name="audit"),
    path("govern/api-keys/", views.api_keys, name="api_keys"),
    path("govern/api-keys/<str:key_id>/revoke/", views.revoke_api_key, name="revoke_api_key"),
]
