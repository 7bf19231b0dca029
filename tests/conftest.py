"""What every test stands on: the cast, plain static files and cheap password hashes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings as django_settings

pytest_plugins = ["tests.cast"]


@pytest.fixture(autouse=True, scope="session")
def _quick_settings() -> Iterator[None]:
    """Plain static files, cheap password hashes: tests of both set them themselves."""
    django_settings.STORAGES = django_settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    }
    django_settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    Path(django_settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)
    yield
