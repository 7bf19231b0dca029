"""Pages of this app, below `/projects/<handle>/`."""

from django.urls import path

from integrations.console import changing, succession, views

INTEGRATIONS = "govern/integrations"
ONE = f"{INTEGRATIONS}/<str:integration_id>"

urlpatterns = [
    path(f"{INTEGRATIONS}/", views.integrations, name="integrations"),
    path(f"{INTEGRATIONS}/<str:provider_id>/connect/", views.connect, name="connect"),
    path(f"{ONE}/", views.integration, name="integration"),
    path(f"{ONE}/test/", views.send_test, name="test_integration"),
    path(f"{ONE}/pause/", changing.pause, name="pause_integration"),
    path(f"{ONE}/resume/", changing.resume, name="resume_integration"),
    path(f"{ONE}/rotate/", changing.rotate, name="rotate_integration"),
    path(f"{ONE}/successor/", succession.successor, name="successor"),
    path(f"{ONE}/successor/test/", succession.test, name="test_successor"),
    path(f"{ONE}/successor/remove/", succession.remove, name="remove_successor"),
    path(f"{ONE}/settings/", changing.settings, name="integration_settings"),
    path(f"{ONE}/activity/", views.activity, name="integration_activity"),
    path(f"{ONE}/disconnect/", changing.disconnect, name="disconnect_integration"),
]
