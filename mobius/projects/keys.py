"""Making, recognising and revoking API keys.

A key is `mbx_`, 43 characters of chance and 6 of checksum, so that a typing error is refused without a query and
secret scanners can match it. 256 random bits cannot be guessed, hence SHA-256 and no slow hash (safety §4).
"""

from __future__ import annotations

import hashlib
import secrets
import zlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import DatabaseError, IntegrityError, transaction

from mobius import clock
from mobius.errors import AlreadyExists, Conflict, InvalidFields, Unauthorized
from mobius.prepared import Select
from mobius.projects import auditing
from mobius.projects.auditing import SYSTEM, Actor
from mobius.projects.key_models import ApiKey, PrincipalState, ServicePrincipal
from mobius.projects.models import Project
from mobius.projects.principals import default_principal
from mobius.projects.roles import Role

PREFIX = "mbx_"
_LONGEST = 200
_USE_IS_NOTED_EVERY = timedelta(minutes=5)
_by_digest = Select(lambda digest: ApiKey.objects.select_related("project").filter(digest=digest), shared=True)


class PrincipalHasNoRoles(Conflict):
    """Neither the key nor its principal has a role: say scope_role_id, or give the principal a role."""

    code = "principal_has_no_roles"


@dataclass(frozen=True, kw_only=True)
class NewKey:
    """A key just made: the only moment at which its text exists."""

    record: ApiKey
    text: str = field(repr=False)


def create_key(
    *,
    project: Project,
    name: str,
    role: Role | None = None,
    principal: ServicePrincipal | None = None,
    expires_at: datetime | None = None,
    tags: dict[str, str] | None = None,
    created_by: User | None = None,
    by: Actor = SYSTEM,
) -> NewKey:
    """Make a key of `project`. Without a role it gets its principal's.

    Raises AlreadyExists when a live key has this name, InvalidFields on a past expiry and for a role that its
    principal's does not include, PrincipalHasNoRoles, and Conflict for a principal that is not active.
    """
    if not name.strip():
        raise InvalidFields({"name": ["Give the key a name, such as the system that will use it."]})
    if expires_at is not None and expires_at <= clock.now():
        raise InvalidFields({"expires_at": ["This moment has passed; choose a later one."]})
    text = _new_text()
    try:
        with transaction.atomic():
            holder = _held(principal or default_principal(project))
            record = ApiKey.objects.create(
                project=project,
                principal=holder,
                name=name.strip(),
                role=_role_for(holder, role),
                key_prefix=text[:8],
                key_ending=text[-4:],
                digest=digest(text),
                expires_at=expires_at,
                tags=tags or {},
                created_by=created_by,
            )
            _note(by, "api_key.create", record)
    except IntegrityError:
        raise AlreadyExists(f"There is a live key named “{name.strip()}”; choose another name or revoke it.") from None
    return NewKey(record=record, text=text)


@transaction.atomic
def revoke(key: ApiKey, *, why: str = "", by: Actor = SYSTEM) -> ApiKey:
    """End the key at once; its record stays. Revoking twice changes nothing."""
    if key.revoked_at is None:
        key.revoked_at = clock.now()
        key.save(update_fields=["revoked_at", "updated_at"])
        _note(by, "api_key.revoke", key, why)
    return key


def recognise(credential: str) -> ApiKey:
    """The live key behind a bearer credential, with its project loaded.

    Takes `mbx_…` and `mbx_….<project handle>` (mobius-contract §1). Raises one and the same Unauthorized for every
    credential that is malformed, unknown, revoked, expired or suffixed with another project's handle.
    """
    text, _, handle = credential.partition(".")
    if len(credential) > _LONGEST or not credential.isascii() or not _well_formed(text):
        raise Unauthorized
    key = _by_digest.first(digest(text))
    now = clock.now()
    if key is None or not key.is_live(now) or (handle and handle != key.project.handle):
        raise Unauthorized
    _note_use(key, now)
    return key


def opens_still(key: ApiKey) -> bool:
    """Is the key live now? For what stays open after it was recognised."""
    found = _by_digest.first(key.digest)
    return found is not None and found.is_live(clock.now())


def _held(principal: ServicePrincipal) -> ServicePrincipal:
    """Nobody changes the principal while a key of it is made."""
    held = ServicePrincipal.objects.select_for_update().get(pk=principal.pk)
    if held.state != PrincipalState.ACTIVE:
        raise Conflict(f"The service principal “{held.name}” is {held.state}: a key of it would open nothing.")
    return held


def _role_for(principal: ServicePrincipal, asked: Role | None) -> Role:
    most = Role(principal.role) if principal.role else None
    role = asked or most
    if role is None:
        raise PrincipalHasNoRoles
    if most is not None and not most.includes(role):
        sentence = f"The role of its principal, {most.value}, does not include {role.value}."
        raise InvalidFields({"scope_role_id": [sentence]})
    return role


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _new_text() -> str:
    body = PREFIX + secrets.token_urlsafe(32)
    return body + _checksum(body)


def _well_formed(text: str) -> bool:
    return text.startswith(PREFIX) and len(text) == 53 and _checksum(text[:-6]) == text[-6:]


def _checksum(body: str) -> str:
    """Six characters: the low 24 bits of CRC-32. It finds typing errors; it protects nothing."""
    return f"{zlib.crc32(body.encode('ascii')) & 0xFFFFFF:06x}"


def _note(by: Actor, action: str, key: ApiKey, why: str = "") -> None:
    auditing.record(by, action, project_id=key.project_id, kind="api_key", id=key.pk, name=key.name, reason=why)


def _note_use(key: ApiKey, now: datetime) -> None:
    # Decided from the row just read: a write for every request would take the database's one write lock.
    if key.last_used_at is not None and now - key.last_used_at < _USE_IS_NOTED_EVERY:
        return
    try:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)
    except DatabaseError:  # a note, not a duty: the request itself must not fail for it
        pass
