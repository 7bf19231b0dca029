"""The two keys that everything rests on: what is wrong with one, before anything is signed or encrypted with it."""

from __future__ import annotations

import base64
import re

_SHORTEST, _FEWEST_CHARACTERS, _FEWEST_BYTES = 32, 10, 10
_FERNET = re.compile(r"[A-Za-z0-9_-]{43}=")
_PLACEHOLDER = re.compile(
    r"change[-_ ]?(me|this|it)|placeholder|insecure|example|your[-_ ](own|secret|key)|secret[-_ ]?key|dummy|<.*>",
    re.IGNORECASE,
)


def fault_of_secret_key(key: str) -> str:
    """Why `key` must not sign sessions; "" when it may."""
    if _PLACEHOLDER.search(key):
        return "it is a placeholder."
    if len(key) < _SHORTEST or len(set(key)) < _FEWEST_CHARACTERS:
        return f"it is too easy to guess: use at least {_SHORTEST} random characters."
    return ""


def fault_of_encryption_key(key: str) -> str:
    """Why `key` must not encrypt secrets; "" when it may."""
    if not _FERNET.fullmatch(key):  # a decoder passes over what is not of its alphabet
        return "it is no Fernet key: 32 random bytes in URL-safe base64, 44 characters."
    if len(set(base64.urlsafe_b64decode(key))) < _FEWEST_BYTES:
        return "it is a placeholder, not 32 random bytes."
    return ""


HOW_TO_MAKE = {
    "SECRET_KEY": """python3 -c "import secrets; print(secrets.token_urlsafe(64))\"""",
    "FIELD_ENCRYPTION_KEY": (
        """python3 -c "import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())\""""
    ),
}
