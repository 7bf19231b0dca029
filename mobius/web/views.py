"""Signing in, the way to the first page, and whether we are up."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from mobius.web.navigation import projects_of


class Login(LoginView):
    """Name and password; `next` is followed only within this site (Django sees to that)."""

    template_name = "registration/login.html"
    redirect_authenticated_user = True


@login_required
@require_safe
def root(request: HttpRequest) -> HttpResponse:
    """To the first project that this person may see."""
    projects = projects_of(request)
    if projects:
        return redirect("console:home", projects[0].handle)
    return render(request, "no_projects.html")
