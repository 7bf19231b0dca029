"""Up or down, for whoever watches without a login: `/healthz` and `/readyz`."""

from __future__ import annotations

import threading
import time

from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from integrations.secrets import SecretUnreadable, decrypted
from mobius import firststart, working

_HOLDS_FOR_SECONDS = 1.0  # anybody may ask, and each look is a write
_PATIENCE_SECONDS = 2.0
_PROOF = "SELECT proof FROM integrations_keycheck ORDER BY id LIMIT 1"
_WRITE = "UPDATE integrations_keycheck SET id = id"


@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """Whether this process answers; asks nothing of the database."""
    return HttpResponse("ok", content_type="text/plain")


@require_safe
@never_cache
def readyz(request: HttpRequest) -> HttpResponse:
    """Whether this process can do its work: 200 `ok`, else 503 with the reason."""
    fault = _readiness.fault()
    if not fault:
        return HttpResponse("ok", content_type="text/plain")
    return HttpResponse(f"down: {fault}", status=503, content_type="text/plain", headers={"Retry-After": "5"})


class Readiness:
    """What keeps this process from its work. Looked at once a second at most, by one asker for all."""

    def __init__(self) -> None:
        self._looking = threading.Lock()
        self._known, self._known_at = "", float("-inf")
        self._schema_is_right = False

    def fault(self) -> str:
        """ "" when nothing is wrong."""
        if not self._looking.acquire(timeout=_PATIENCE_SECONDS):
            return "the database does not answer in time"
        try:
            if time.monotonic() - self._known_at >= _HOLDS_FOR_SECONDS:
                self._known = self._look()
                self._known_at = time.monotonic()
            return self._known
        finally:
            self._looking.release()

    def _look(self) -> str:
        try:
            return self._fault_of_schema() or _fault_of_database() or working.fault()
        except (DatabaseError, InterfaceError):
            return "the database cannot be read or written"

    def _fault_of_schema(self) -> str:
        """Asked until it is right: our own version does not change while we run."""
        if self._schema_is_right:
            return ""
        try:
            waits = bool(firststart.waiting_migrations())
        except firststart.NewerDatabase:
            return "the database is of a newer version"
        self._schema_is_right = not waits
        return "migrations are missing" if waits else ""


def _fault_of_database() -> str:
    with connection.cursor() as cursor:
        cursor.execute(_PROOF)
        row = cursor.fetchone()
        try:
            decrypted(row[0] if row else None)
        except SecretUnreadable:
            return "the encryption key is not that of the database"
        cursor.execute(_WRITE)
    return ""


_readiness = Readiness()
