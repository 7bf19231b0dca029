"""Projects, members and keys, for support staff."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.auth import admin as accounts
from django.contrib.auth.models import Group, User
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString

from mobius.projects.audit_models import AuditEvent
from mobius.projects.key_models import ApiKey, ServicePrincipal
from mobius.projects.keys import revoke
from mobius.projects.models import Membership, OneTimePassword, Project
from mobius.projects.sessions import end_sessions_of
from mobius.web.support.asking import WhyForm, actor, ask, may
from mobius.web.support.drawing import badge
from mobius.web.support.filters import Created, Pick
from mobius.web.support.linking import link
from mobius.web.support.reading import MOST_LINES, LongLists, ReadingAdmin, SupportAdmin, lines
from mobius.web.support.saving import AuditedSaves, ReasonedForm
from mobius.web.support.searching import Search


@admin.register(Project)
class ProjectAdmin(AuditedSaves, SupportAdmin):
    kind = "project"
    console = ("home",)
    owner = ""
    form = ReasonedForm
    list_display = ("id", "handle", "name", "created_at", "deleted_at")
    search = Search(ids=("pk", "handle", "name"), help="By exact id, handle or name.")
    fields = ("handle", "name", "description", "reason", "members")
    readonly_fields = ("members",)

    def project_of(self, thing: Project) -> str:
        return thing.pk

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("handle", "members") if obj else ("members",)  # it stands in every address of the project

    @admin.display(description="members")
    def members(self, project: Project) -> SafeString | str:
        """They are managed in the console (Govern > Members), where a project keeps its last admin."""
        of_project = Membership.objects.of_project(project).select_related("user").order_by("user__username")
        return lines([(one.user.get_username(), one.role) for one in of_project[:MOST_LINES]], "{}, {}")


@admin.register(ServicePrincipal)
class ServicePrincipalAdmin(AuditedSaves, SupportAdmin):
    kind = "principal"
    console = ("api_keys",)
    form = ReasonedForm
    list_display = ("id", "outcome", "name", "project", "role", "created_at")
    list_select_related = ("project",)
    list_filter = ("state", Created)
    search = Search(ids=("pk", "name"), project="project", help="By exact id, name or project handle.")
    fields = ("project", "name", "description", "reason")
    raw_id_fields = ("project",)
    outcome = badge("state")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("project",) if obj else ()


class Revoked(Pick):
    title = "state"
    parameter_name = "revoked"
    picks: ClassVar = {"no": ("Not revoked", Q(revoked_at=None)), "yes": ("Revoked", Q(revoked_at__isnull=False))}


@admin.register(ApiKey)
class ApiKeyAdmin(ReadingAdmin):
    """A key is made in the console, where its project's admins are. Its digest is nobody's business."""

    actions = ("revoke_keys",)
    console = ("api_keys",)
    list_display = ("id", "live", "name", "key_prefix", "project", "may", "last_used_at", "created_at")
    list_select_related = ("project", "principal", "created_by")
    list_filter = ("role", Revoked, Created)
    search = Search(
        ids=("pk", "key_prefix"),
        project="project",
        help="By exact id, the key's first 8 characters, or project handle.",
    )
    fields = (
        *("id", "project", "principal", "name", "role", "key_prefix", "live"),
        *("created_by", "created_at", "expires_at", "revoked_at", "last_used_at"),
    )

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return may(request, "projects.revoke_apikey")

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke_keys(self, request: HttpRequest, keys: QuerySet[ApiKey]) -> HttpResponse | None:
        return ask(
            self,
            request,
            keys,
            title="Revoke these keys?",
            button="Revoke the keys",
            action="revoke_keys",
            explanation="They open nothing from now on, and cannot be brought back. Whoever uses them is refused.",
            form_class=WhyForm,
            do=lambda key, form: revoke(key, why=form.cleaned_data["reason"], by=actor(request)),
            refuse=lambda key: "It is revoked already." if key.revoked_at else "",
        )

    @admin.display(description="role")
    def may(self, key: ApiKey) -> str:
        return key.role

    @admin.display(boolean=True)
    def live(self, key: ApiKey) -> bool:
        return key.is_live(timezone.now())


@admin.register(AuditEvent)
class AuditEventAdmin(ReadingAdmin):
    console = ("audit",)
    list_display = ("id", "created_at", "project", "actor_name", "action", "object_shown", "reason")
    list_select_related = ("project",)
    list_filter = ("actor_kind", Created)
    search = Search(
        ids=("pk", "object_id", "actor_id"),
        project="project",
        help="By exact id, object id, user name or key id, or project handle.",
    )
    fields = (
        *("id", "project", "actor_kind", "actor_id", "actor_name", "ip", "action"),
        *("object_kind", "object_shown", "object_name", "reason", "changed", "created_at"),
    )

    @admin.display(description="object id")
    def object_shown(self, event: AuditEvent) -> SafeString | str:
        """With a link to its page, where the kind has one."""
        name = _MODELS.get(event.object_kind)
        model = next((one for one in self.admin_site._registry if one._meta.model_name == name), None)
        return link(model, event.object_id) if model else event.object_id


_MODELS = {
    **{
        kind: kind for kind in ("project", "integration", "pacer", "run", "loop", "trigger", "callback", "push", "mail")
    },
    **{"delivery": "attempt", "api_key": "apikey", "principal": "serviceprincipal", "bulk_job": "bulkjob"},
    **{"webhook": "endpoint", "alert_recipient": "recipient"},
}
"""What things are called in the audit, and the models that have a page of each."""


class AccountSaves(AuditedSaves):
    """Accounts and groups belong to no project, and are never deleted: the audit speaks of them."""

    class Media:
        js = ("support.js",)

    def project_of(self, thing: Any) -> None:
        return None

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


admin.site.unregister((User, Group))


@admin.register(User)
class UserAdmin(AccountSaves, LongLists, accounts.UserAdmin):  # type: ignore[type-arg]
    """Switch an account off instead of deleting it. Who gets other rights or another password is signed out."""

    kind = "user"
    search = Search(ids=("username", "email"), help="By exact user name or e-mail address.")
    readonly_fields = ("last_login", "date_joined")

    def id_of(self, thing: Any) -> str:
        return str(thing.get_username())

    def saved(self, request: HttpRequest, thing: Any, changed: set[str], *, reason: str, add: bool) -> None:
        super().saved(request, thing, changed, reason=reason, add=add)
        if thing == request.user:
            return
        if "password" in changed:
            OneTimePassword.objects.get_or_create(user=thing)
        if changed & {"password", "is_active", "is_staff", "is_superuser", "groups", "user_permissions"}:
            end_sessions_of(thing)


@admin.register(Group)
class GroupAdmin(AccountSaves, LongLists, accounts.GroupAdmin):
    kind = "group"
    search = Search(ids=("name",), help="By exact name.")
