"""The data directory: made with its keys on the first start, and held by one process at a time."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cryptography.fernet import Fernet
from filelock import FileLock, Timeout


class InUse(Exception):
    """Another `serve` runs on this data directory."""


ENCRYPTION_KEY_FILE = "field_encryption_key"


def prepare(directory: Path, *, encryption_key: str = "") -> None:
    """Make `directory` (mode 0700) and, where the environment gives none, its two keys (mode 0600).

    `encryption_key` is the one to keep there instead of a new one.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, file, make in (
        ("SECRET_KEY", "secret_key", _secret_key),
        ("FIELD_ENCRYPTION_KEY", ENCRYPTION_KEY_FILE, lambda: encryption_key or _encryption_key()),
    ):
        if not os.environ.get(name) and not (directory / file).exists():
            _write_private(directory / file, make())


def hold(directory: Path) -> FileLock:
    """Hold `directory` until this process ends, however it ends. Raises InUse.

    Whoever gets the lock knows that every earlier holder is dead (design §4).
    """
    lock = FileLock(directory / "lock", blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise InUse from None
    return lock


def _secret_key() -> str:
    return secrets.token_urlsafe(64)


def _encryption_key() -> str:
    return Fernet.generate_key().decode()


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
