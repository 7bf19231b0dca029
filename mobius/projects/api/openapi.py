"""What the description of `/v1` says about projects, principals, keys and the audit."""

from __future__ import annotations

from mobius.api.downloads import FORMATS
from mobius.api.operations import Answer, Body, Operation, done, made, ok, page_query, saved
from mobius.api.pagination import MAX_LIMIT
from mobius.api.shapes import items_of, one_of, page_of, text
from mobius.errors import AlreadyExists, Conflict
from mobius.projects.api.principals import (
    KIND,
    OTHER_KINDS,
    ChangedPrincipalSerializer,
    NewPrincipalSerializer,
    PrincipalViewSet,
)
from mobius.projects.api.projects import ChangedProjectSerializer, NewProjectSerializer, ProjectDirectory
from mobius.projects.api.shapes import API_KEY, AUDIT_EVENT, CAPABILITIES, NEW_API_KEY, PRINCIPAL, PROJECT
from mobius.projects.api.views import ApiKeyViewSet, AuditViewSet, NewKeySerializer
from mobius.projects.founding import ExternalIdentityConflict, ProjectArchived, ProjectCapacityReached
from mobius.projects.keys import PrincipalHasNoRoles

_SEARCH = {
    "actor": text("alice", description="Who: the name or the id."),
    "action": text("loop.update", description="Did what."),
    "object": text("push-leads", description="To what: the name or the id."),
    "since": text("2026-11-01", description="The first day, in UTC."),
    "until": text("2026-11-30", description="The last day, in UTC."),
}

OPERATIONS = {
    (ProjectDirectory, "list"): Operation(
        id="listProjects",
        summary="List projects",
        description="The key's own project and, for a key of role admin, those that were made with such a key.",
        query={
            "search": text("plat", description="Part of the name, the handle or the description."),
            "tag": text("team:growth", description="`key` or `key:value`; several with commas, and all must fit."),
            **page_query(),
        },
        answers=ok(page_of(PROJECT)),
    ),
    (ProjectDirectory, "create"): Operation(
        id="createProject",
        summary="Make a project",
        description="With `if_exists: adopt` the project that has the `external_ref` already is answered with 200.",
        body=Body(
            shape=NewProjectSerializer,
            example={"name": "Growth", "handle": "growth", "external_ref": "crm-4711", "tags": {"team": "growth"}},
        ),
        answers={
            **made(PROJECT),
            200: Answer(shape=PROJECT, says="Adopted: it was there already, and nothing was written."),
        },
        refuses=(AlreadyExists, ExternalIdentityConflict, ProjectArchived, ProjectCapacityReached),
    ),
    (ProjectDirectory, "retrieve"): Operation(id="getProject", summary="Read a project", answers=ok(PROJECT)),
    (ProjectDirectory, "partial_update"): Operation(
        id="updateProject",
        summary="Change a project",
        body=Body(shape=ChangedProjectSerializer, example={"description": "Leads and their rows."}, required=False),
        answers=ok(PROJECT),
        refuses=(Conflict, AlreadyExists),
    ),
    (ProjectDirectory, "destroy"): Operation(
        id="deleteProject",
        summary="Delete a project",
        description="New work is refused from then on; what runs goes on to its end.",
        answers=done(),
    ),
    (ProjectDirectory, "capabilities"): Operation(
        id="getProjectCapabilities", summary="What the key may manage", answers=ok(CAPABILITIES)
    ),
    (PrincipalViewSet, "list"): Operation(
        id="listPrincipals",
        summary="List service principals",
        description="Not in pages: without `limit` up to 100.",
        query={
            "kind": one_of((KIND, *OTHER_KINDS), description="Others than service there are none here."),
            "include_disabled": one_of(("true", "false"), example="false"),
            "limit": page_query()["limit"] | {"default": MAX_LIMIT},
        },
        answers=ok(items_of(PRINCIPAL)),
    ),
    (PrincipalViewSet, "create"): Operation(
        id="createPrincipal",
        summary="Make a service principal",
        body=Body(
            shape=NewPrincipalSerializer,
            example={"name": "enrichment", "role_ids": ["operator"], "description": "Starts runs from Clay."},
        ),
        answers=made(PRINCIPAL),
        refuses=(AlreadyExists,),
    ),
    (PrincipalViewSet, "retrieve"): Operation(
        id="getPrincipal", summary="Read a service principal", answers=ok(PRINCIPAL)
    ),
    (PrincipalViewSet, "partial_update"): Operation(
        id="updatePrincipal",
        summary="Change a service principal",
        body=Body(shape=ChangedPrincipalSerializer, example={"metadata": {"owner": "growth"}}, required=False),
        answers=ok(PRINCIPAL),
        refuses=(Conflict,),
    ),
    (PrincipalViewSet, "destroy"): Operation(
        id="deletePrincipal",
        summary="Delete a service principal",
        description="Its keys are revoked first: while it has any, this is refused.",
        answers=done(),
        refuses=(Conflict,),
    ),
    (ApiKeyViewSet, "list"): Operation(
        id="listAPIKeys", summary="List API keys", query=page_query(), answers=ok(page_of(API_KEY))
    ),
    (ApiKeyViewSet, "create"): Operation(
        id="createAPIKey",
        summary="Make an API key",
        description="The key itself is in this answer and in no other.",
        body=Body(shape=NewKeySerializer, example={"name": "clay", "scope_role_id": "run", "tags": {"team": "growth"}}),
        answers=made(NEW_API_KEY),
        refuses=(AlreadyExists, Conflict, PrincipalHasNoRoles),
    ),
    (ApiKeyViewSet, "retrieve"): Operation(
        id="getAPIKey", summary="Read an API key", description="Without the key.", answers=ok(API_KEY)
    ),
    (ApiKeyViewSet, "destroy"): Operation(
        id="deleteAPIKey", summary="Revoke an API key", description="At once and for good.", answers=done()
    ),
    (AuditViewSet, "list"): Operation(
        id="listAuditEvents",
        summary="Search the audit",
        query={**_SEARCH, **page_query()},
        answers=ok(page_of(AUDIT_EVENT)),
    ),
    (AuditViewSet, "export"): Operation(
        id="exportAuditEvents",
        summary="Save the audit as a file",
        description="All lines that fit, the oldest first.",
        path={"kind": one_of(FORMATS)},
        query=_SEARCH,
        answers=saved(csv="id,created_at,actor_kind\r\n", jsonl='{"id":"aud_01k9x3m5tq8d2v7w4hnc"}\n'),
    ),
}
