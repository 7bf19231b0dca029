"""What a request names: a provider or an integration of this project, or a 404; and the fields it posts."""

from __future__ import annotations

from django.http import Http404

from integrations.models import Integration
from integrations.providers.contract import Provider
from integrations.providers.errors import UnknownProvider
from integrations.providers.registry import get_provider
from mobius.projects.models import Project
from mobius.projects.roles import Permission
from mobius.web.access import ProjectRequest


def find_provider(provider_id: str) -> Provider:
    try:
        return get_provider(provider_id)
    except UnknownProvider as error:
        raise Http404(error.message) from None


def token_header(provider: Provider) -> str:
    """The header that the provider checks, if its form knows one."""
    return str(getattr(provider.connect_form, "token_header", ""))


def find_integration(project: Project, integration_id: str) -> Integration:
    found = Integration.objects.filter(project=project, pk=integration_id).select_related("pacer", "project").first()
    if found is None:
        raise Http404("There is no such integration.")
    return found


def abilities(request: ProjectRequest) -> dict[str, bool]:
    """What the templates may offer."""
    return {
        "may_administer": request.access.allows(Permission.ADMINISTER),
        "may_operate": request.access.allows(Permission.OPERATE),
    }


def posted(request: ProjectRequest) -> dict[str, str] | None:
    """The fields of a submitted form; None when the page was merely opened."""
    return {name: str(value) for name, value in request.POST.items()} if request.method == "POST" else None
