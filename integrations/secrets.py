"""Secrets at rest: the guarded encrypted field, fingerprints, and the proof that we hold the right key.

django-encrypted-model-fields is used only through `SecretTextField`: bare, it returns the ciphertext when the key is
wrong, decrypts what users type, and encrypts SQL expressions instead of refusing them (safety §1, D1 to D4).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.core.exceptions import FieldError
from encrypted_model_fields import fields as emf

from mobius.errors import MobiusError

if TYPE_CHECKING:
    from integrations.models import KeyCheck


class SecretUnreadable(MobiusError):
    """A stored secret cannot be decrypted with the present FIELD_ENCRYPTION_KEY. Connect again to replace it."""

    code = "secret_unreadable"
    http_status = 409


class WrongKey(MobiusError):
    """FIELD_ENCRYPTION_KEY is not the key that this database's secrets are encrypted with.

    Put the right key back: it is in the environment or in the data directory's file `field_encryption_key` of the
    installation that the database comes from. After `mobius secrets rotate`, start this process with the new key. If
    the key is lost for good, so are the secrets: `mobius secrets rotate --forget-unreadable` erases them, and every
    integration must be connected again.
    """

    code = "wrong_key"
    http_status = 503

    def __init__(self) -> None:
        super().__init__(" ".join((type(self).__doc__ or "").split()))


class SecretTextField(emf.EncryptedTextField):  # type: ignore[misc]  # the library has no types
    """Text that is encrypted in the database, and refuses every use that would spill or destroy it."""

    def to_python(self, value: Any) -> str | None:
        return value if value is None or isinstance(value, str) else str(value)  # input is never decrypted

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> str | None:
        return decrypted(value)

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        if hasattr(value, "resolve_expression") or hasattr(value, "as_sql"):
            raise TypeError("a secret cannot be set to an SQL expression")
        return super().get_db_prep_save(value, connection)

    def get_lookup(self, lookup_name: str) -> Any:
        if lookup_name != "isnull":
            raise FieldError("an encrypted field cannot be searched; search by its fingerprint")
        return super().get_lookup(lookup_name)

    def value_to_string(self, obj: Any) -> str:
        raise TypeError("secrets are not serialised")


def decrypted(stored: str | None) -> str | None:
    """The secret that a column holds encrypted. Raises SecretUnreadable under a wrong key."""
    if stored is None:
        return None
    try:
        return str(emf.decrypt_str(stored))
    except (InvalidToken, UnicodeError):
        raise SecretUnreadable from None


def is_current(stored: str | None) -> bool:
    """Is what a column holds encrypted under the first key? Only then may the others be taken away."""
    try:
        Fernet(settings.FIELD_ENCRYPTION_KEY[0]).decrypt((stored or "").encode())
    except InvalidToken:
        return stored is None
    return True


def fingerprint(value: str) -> str:
    """What tells whether two secrets are the same without showing either: HMAC-SHA256 in hex.

    Its key is kept in the database, encrypted: so it is the same for every process, survives a new
    FIELD_ENCRYPTION_KEY, and still recognises an address whose own secret was erased. Raises WrongKey.
    """
    return hmac.new(prove_key().proof.encode(), value.encode(), hashlib.sha256).hexdigest()


def prove_key(*, hold: bool = False) -> KeyCheck:
    """The proof that our keys are the right ones; made when there is none yet. Raises WrongKey.

    `hold` it when secrets are to be written: no rotation begins before the caller's transaction ends, so that nobody
    can write one more secret under a key that is being taken away.
    """
    from integrations.models import KeyCheck  # the model needs the field above

    checks = KeyCheck.objects.select_for_update() if hold else KeyCheck.objects
    try:
        return checks.get_or_create(pk=1, defaults={"proof": secrets.token_hex(32)})[0]
    except SecretUnreadable:
        raise WrongKey from None
