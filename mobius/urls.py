"""The whole URL map."""

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import include, path

from mobius.web import views

API = [  # run starts first: what is asked most often is found soonest
    path("", include("loops.api.urls")),
    path("", include("integrations.api.urls")),
    path("", include("mobius.notifying.api.urls")),
    path("", include("mobius.projects.api.urls")),
]

CONSOLE = [
    path("", include("loops.console.urls")),
    path("", include("integrations.console.urls")),
    path("", include("mobius.notifying.console.urls")),
    path("", include("mobius.projects.console.urls")),
]

urlpatterns = [
    path("", views.root, name="root"),
    path("login/", views.Login.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("healthz", views.healthz),
    path("readyz", views.readyz),
    path("v1/", include(API)),
    path("projects/<slug:handle>/", include((CONSOLE, "console"))),
    path("admin/", admin.site.urls),
]

handler400 = "mobius.api.envelope.handler400"
handler403 = "mobius.api.envelope.handler403"
handler404 = "mobius.api.envelope.handler404"
handler500 = "mobius.api.envelope.handler500"
