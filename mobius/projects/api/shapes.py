"""What `/v1` shows of projects, principals, keys and the audit (mobius-contract §2 and §3)."""

from __future__ import annotations

from mobius.api.shapes import TAGS, Named, anything, array, closed, flag, ident, moment, one_of, text
from mobius.projects.api.principals import KIND
from mobius.projects.audit_models import ActorKind
from mobius.projects.key_models import PrincipalState
from mobius.projects.roles import Role

_TIMES = {"created_at": moment(), "updated_at": moment()}

PROJECT = Named(
    "Project",
    closed(
        {
            "id": ident("prj"),
            "name": text("Platform"),
            "handle": text("platform", description="Stands in every address, and never changes."),
            "access_mode": one_of(["restricted"], description="Members only."),
            **_TIMES,
        },
        {
            "description": text("Leads and their rows."),
            "external_ref": text("crm-4711", description="Your own id of the project."),
            "created_by": text("cred_01k9x3m5tq8d2v7w4hnc"),
            "tags": TAGS,
        },
    ),
)

CAPABILITIES = Named("ProjectCapabilities", closed({"can_manage_project": flag(), "can_manage_access": flag()}))

PRINCIPAL = Named(
    "Principal",
    closed(
        {
            "id": ident("svc"),
            "kind": one_of([KIND]),
            "state": one_of(PrincipalState),
            "name": text("enrichment"),
            "role_ids": array(one_of(Role), maxItems=1),
            **_TIMES,
        },
        {
            "description": text("Starts runs from Clay."),
            "metadata": anything({"owner": "growth"}),
            "tags": TAGS,
        },
    ),
)

_KEY_MEMBERS = {
    "id": ident("cred"),
    "name": text("clay"),
    "key_prefix": text("mbx_9f3k", description="The first 8 characters of the key."),
    "principal_id": ident("svc"),
    "scope_role_id": one_of(Role, example=Role.RUN.value),
    **_TIMES,
}
_KEY_EXTRAS = {"expires_at": moment(), "last_used_at": moment(), "tags": TAGS}

API_KEY = Named("APIKey", closed(_KEY_MEMBERS, _KEY_EXTRAS), rarely=("expires_at",))
NEW_API_KEY = Named(
    "APIKeyCreateResult",
    closed(
        {**_KEY_MEMBERS, "key": text("mbx_<secret>.platform", description="The whole key. It is shown this once.")},
        _KEY_EXTRAS,
    ),
    rarely=("expires_at", "last_used_at"),
)

AUDIT_EVENT = Named(
    "AuditEvent",
    closed(
        {
            "id": ident("aud"),
            "action": text("loop.update"),
            "actor": closed(
                {"kind": one_of(ActorKind), "name": text("alice")}, {"id": text("1"), "ip": text("203.0.113.7")}
            ),
            "object": closed({"kind": text("loop"), "id": ident("loop")}, {"name": text("push-leads")}),
            "changed": array(text("steps"), description="The names of what was changed; never the values."),
            "created_at": moment(),
        },
        {"reason": text("Looked into the table.")},
    ),
    rarely=("reason",),
)
