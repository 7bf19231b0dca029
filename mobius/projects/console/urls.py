"""Pages of this app, below `/projects/<handle>/`."""

from django.urls import path

from mobius.projects.console import audit, members, reference, views

urlpatterns = [
    path("govern/audit/", audit.audit, name="audit"),
    path("govern/audit/export.<str:format>", audit.audit_export, name="audit_export"),
    path("govern/members/", members.members, name="members"),
    path("govern/members/new/", members.member_new, name="member_new"),
    path("govern/members/<int:member_id>/", members.member, name="member"),
    path("govern/members/<int:member_id>/remove/", members.member_remove, name="member_remove"),
    path("govern/api/", reference.api_reference, name="api_reference"),
    path("govern/api-keys/", views.api_keys, name="api_keys"),
    path("govern/api-keys/<str:key_id>/", views.api_key, name="api_key"),
    path("govern/api-keys/<str:key_id>/revoke/", views.revoke_api_key, name="revoke_api_key"),
]
