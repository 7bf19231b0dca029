"""Projects, members and keys, for support staff."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.auth import admin as accounts
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from django.utils import timezone

from mobius.projects.admin_reading import ReadingAdmin, ReadingInline, SupportAdmin
from mobius.projects.admin_saving import AuditedSaves, ReasonedForm
from mobius.projects.audit_models import AuditEvent
from mobius.projects.models import ApiKey, Membership, OneTimePassword, Project, ServicePrincipal
from mobius.projects.sessions import end_sessions_of

admin.site.site_header = admin.site.site_title = "Mobius console"
admin.site.index_title = "Support"


class MembershipInline(ReadingInline):
    """Members are managed in the console (Govern > Members), where a project keeps its last admin."""

    model = Membership
    show_change_link = False
    fields = ("user", "role")


@admin.register(Project)
class ProjectAdmin(AuditedSaves, SupportAdmin):
    kind = "project"
    form = ReasonedForm
    list_display = ("handle", "name", "id", "created_at")
    search_fields = ("id__exact", "handle__exact", "name")
    search_help_text = "By id, handle or a part of the name."
    ordering = ("handle",)
    fields = ("handle", "name", "description", "reason")
    inlines: ClassVar = [MembershipInline]

    def project_of(self, thing: Project) -> str:
        return thing.pk

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("handle",) if obj else ()  # it stands in every address of the project


@admin.register(ServicePrincipal)
class ServicePrincipalAdmin(AuditedSaves, SupportAdmin):
    kind = "principal"
    form = ReasonedForm
    list_display = ("name", "project", "id", "created_at")
    list_select_related = ("project",)
    search_fields = ("id__exact", "project__handle__exact", "name")
    search_help_text = "By id, project handle or a part of the name."
    fields = ("project", "name", "description", "reason")
    raw_id_fields = ("project",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("project",) if obj else ()


@admin.register(ApiKey)
class ApiKeyAdmin(ReadingAdmin):
    """A key is made and revoked in the console, where its project's admins are. Its digest is nobody's business."""

    list_display = ("name", "key_prefix", "project", "role", "live", "last_used_at", "created_at")
    list_select_related = ("project", "principal", "created_by")
    list_filter = ("role", "created_at")
    search_fields = ("id__exact", "key_prefix__exact", "project__handle__exact")
    search_help_text = "By id, the key's first 8 characters, or project handle."
    fields = (
        *("id", "project", "principal", "name", "role", "key_prefix", "live"),
        *("created_by", "created_at", "expires_at", "revoked_at", "last_used_at"),
    )

    @admin.display(boolean=True)
    def live(self, key: ApiKey) -> bool:
        return key.is_live(timezone.now())


@admin.register(AuditEvent)
class AuditEventAdmin(ReadingAdmin):
    list_display = ("created_at", "project_id", "actor_name", "action", "object_kind", "object_id", "ip")
    list_filter = ("action", "actor_kind", "created_at")
    search_fields = ("id__exact", "object_id__exact", "actor_id__exact", "project__handle__exact")
    search_help_text = "By exact id, object id, user name or key id, or project handle."
    fields = (
        *("id", "project", "actor_kind", "actor_id", "actor_name", "ip", "action"),
        *("object_kind", "object_id", "object_name", "reason", "changed", "created_at"),
    )


class AccountSaves(AuditedSaves):
    """Accounts and groups belong to no project, and are never deleted: the audit speaks of them."""

    def project_of(self, thing: Any) -> None:
        return None

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


admin.site.unregister((User, Group))


@admin.register(User)
class UserAdmin(AccountSaves, accounts.UserAdmin):  # type: ignore[type-arg]
    """Switch an account off instead of deleting it. Who gets other rights or another password is signed out."""

    kind = "user"
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
class GroupAdmin(AccountSaves, accounts.GroupAdmin):
    kind = "group"
