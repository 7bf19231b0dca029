"""Where sessions are kept (`SESSION_ENGINE`): in the database, each with the person it belongs to."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore


class SessionStore(DatabaseStore):
    @classmethod
    def get_model_class(cls) -> Any:
        from mobius.projects.models import Session  # Django asks for it before models can be imported

        return Session

    def create_model_instance(self, data: Any) -> Any:
        session = super().create_model_instance(data)
        session.user_id = data.get(SESSION_KEY)  # type: ignore[attr-defined]  # stubs know Django's own model only
        return session


def end_sessions_of(user: User) -> None:
    """Sign the person out everywhere, at once."""
    SessionStore.get_model_class().objects.filter(user=user).delete()
