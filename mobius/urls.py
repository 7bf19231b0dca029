"""The whole URL map."""

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from loops.console.home import root
from mobius import health, monitoring
from mobius.openapi.views import DescriptionViewSet
from mobius.web import views

API: list[URLPattern | URLResolver] = [  # run starts first: what is asked most often is found soonest
    path("", include("loops.api.urls")),
    path("", include("integrations.api.urls")),
    path("", include("mobius.notifying.api.urls")),
    path("", include("mobius.alerting.api.urls")),
    path("", include("mobius.projects.api.urls")),
    path("openapi.yaml", DescriptionViewSet.as_view({"get": "as_yaml"})),
    path("openapi.json", DescriptionViewSet.as_view({"get": "as_json"}), name="description"),
]

CONSOLE = [
    path("", include("loops.console.urls")),
    path("", include("integrations.console.urls")),
    path("", include("mobius.notifying.console.urls")),
    path("", include("mobius.alerting.console.urls")),
    path("", include("mobius.projects.console.urls")),
]

urlpatterns = [
    path("v1/", include(API)),
    path("", root, name="root"),
    path("login/", views.Login.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("account/password/", views.password, name="password"),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", monitoring.metrics),
    path("projects/<slug:handle>/", include((CONSOLE, "console"))),
    path("admin/login/", views.admin_door),
    path("admin/password_change/", RedirectView.as_view(pattern_name="password")),
    path("admin/", admin.site.urls),
]

handler400 = "mobius.api.envelope.handler400"
handler403 = "mobius.api.envelope.handler403"
handler404 = "mobius.api.envelope.handler404"
handler500 = "mobius.api.envelope.handler500"
