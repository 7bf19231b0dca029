"""Other encryption keys than the test suite's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from encrypted_model_fields import fields as emf

NEW_KEY = Fernet.generate_key().decode()


@contextmanager
def keys(*chosen: str) -> Iterator[None]:
    """As a process that was started with these keys. The library reads them once, so this reaches inside."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "FIELD_ENCRYPTION_KEY", list(chosen))
        patch.setattr(emf, "CRYPTER", MultiFernet([Fernet(key) for key in chosen]))
        yield
