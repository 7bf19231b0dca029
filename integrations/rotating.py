"""Putting every secret under a new key, while rows go out and people connect (`mobius secrets rotate`).

The new key stands first in FIELD_ENCRYPTION_KEY, the old ones after it. The proof of the key goes first: from then on
a process that has not been restarted with the new key is told so; it sends nothing that it cannot read, and writes
nothing under an old key. Then each secret, in a transaction of its own; stopped at any point, the next call goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import models, transaction
from django.db.models.functions import Cast

from integrations import connecting
from integrations.models import Integration, IntegrationStatus, KeyCheck, Webhook, WebhookSecret
from integrations.secrets import (
    SecretTextField,
    SecretUnreadable,
    WrongKey,
    decrypted,
    fingerprint,
    is_current,
    prove_key,
)
from mobius.engine.sqlite3.erasing import erase_after_commit
from mobius.prepared import Rows
from mobius.projects import auditing
from mobius.projects.auditing import SYSTEM, Actor

_proof = Rows(lambda: KeyCheck.objects.filter(pk=1).values_list("proof"))
_stored = Rows(
    lambda webhook: WebhookSecret.objects.select_for_update().filter(pk=webhook).values_list("url", "auth_header_value")
)
_all_stored = Rows(lambda: WebhookSecret.objects.values_list("webhook_id", "url", "auth_header_value"))
_FORGOTTEN = "Its secret could not be read with the present key and was erased. Connect it again."


@dataclass(frozen=True, kw_only=True)
class Rotation:
    """What became of the secrets."""

    rotated: int  # put under the first key just now
    current: int  # under the first key before
    old: int  # still under an older key
    unreadable: tuple[str, ...]  # whose secrets none of our keys reads: `project/integration`
    forgotten: tuple[str, ...]  # those among them whose secrets were erased

    @property
    def complete(self) -> bool:
        """May the older keys be taken away?"""
        return not self.old and not self.unreadable


def rotate_secrets(*, forget_unreadable: bool = False, by: Actor = SYSTEM) -> Rotation:
    """Encrypt every secret under the first key. What is there already stays as it is, to the letter.

    Raises WrongKey, and changes nothing, when our keys cannot read the proof of the key, unless `forget_unreadable`:
    then secrets that nobody can read are erased, and their integrations ask to be connected again.
    """
    known = _rotate_proof(forget_unreadable)
    changes: list[bool | None] = []
    unreadable: dict[str, str] = {}
    for webhook in Webhook.objects.filter(secret__isnull=False).select_related("integration__project").order_by("pk"):
        try:
            changes.append(_rotate(webhook, recount=not known, by=by))
        except SecretUnreadable:
            unreadable[webhook.pk] = _name(webhook)
            if forget_unreadable:
                _forget(webhook, by)
    for model, names in _other_secrets():
        for pk in list(model._default_manager.order_by("pk").values_list("pk", flat=True)):
            try:
                changes.append(_rotate_row(model, names, pk, by))
            except SecretUnreadable:
                unreadable[f"{model._meta.label_lower} {pk}"] = f"{model._meta.verbose_name} {pk}"
                if forget_unreadable:
                    _forget_row(model, names, pk, by)
    erase_after_commit()
    # Somebody may have connected meanwhile, in a process whose first key is still another one.
    old = [pk for pk, *secret in _all_stored() if pk not in unreadable and not all(map(is_current, secret))]
    old += [
        pk
        for model, names in _other_secrets()
        for pk, *stored in _raw(model, names).values_list("pk", *_raw_names(names))
        if f"{model._meta.label_lower} {pk}" not in unreadable and not all(map(is_current, stored))
    ]
    names_of_unreadable = tuple(unreadable.values())
    return Rotation(
        rotated=changes.count(True),
        current=changes.count(False),
        old=len(old),
        unreadable=() if forget_unreadable else names_of_unreadable,
        forgotten=names_of_unreadable if forget_unreadable else (),
    )


def _other_secrets() -> Iterator[tuple[type[models.Model], list[str]]]:
    """Every other table that holds secrets, found by its fields: one that somebody adds tomorrow is rotated too."""
    for model in apps.get_models():
        names = [field.attname for field in model._meta.concrete_fields if isinstance(field, SecretTextField)]
        if names and model not in (KeyCheck, WebhookSecret):
            yield model, names


def _raw_names(names: list[str]) -> list[str]:
    return [f"stored_{name}" for name in names]


def _raw(model: type[models.Model], names: list[str]) -> Any:
    """Its rows with the secrets as they are stored."""
    stored = {f"stored_{name}": Cast(name, models.TextField()) for name in names}
    return model._default_manager.annotate(**stored)


@transaction.atomic
def _rotate_row(model: type[models.Model], names: list[str], pk: Any, by: Actor) -> bool | None:
    """As `_rotate`, for a row of another table."""
    held = _raw(model, names).filter(pk=pk).select_for_update()
    found = held.values_list(*_raw_names(names)).first()
    if found is None:
        return None
    secrets = [decrypted(column) for column in found]
    if all(map(is_current, found)):
        return False
    model._default_manager.filter(pk=pk).update(**dict(zip(names, secrets, strict=True)))
    _note_row(model, names, pk, "encrypt_anew", by)
    return True


@transaction.atomic
def _forget_row(model: type[models.Model], names: list[str], pk: Any, by: Actor) -> None:
    """An address may be empty; what signs is made anew by a person."""
    row = model._default_manager.filter(pk=pk)
    _note_row(model, names, pk, "forget_secret", by)
    fields: list[Any] = [model._meta.get_field(name) for name in names]
    if all(field.has_default() for field in fields):
        row.update(**dict.fromkeys(names, ""))
    else:
        row.delete()


def _note_row(model: type[models.Model], names: list[str], pk: Any, deed: str, by: Actor) -> None:
    """Write down whose secret it was; the secret itself may be unreadable."""
    row = model._default_manager.defer(*names).get(pk=pk)
    owner: Any = getattr(row, "owner", row)
    kind = str(owner._meta.verbose_name)
    auditing.record(by, f"{kind}.{deed}", project_id=owner.project_id, kind=kind, id=owner.pk, name=str(owner))


@transaction.atomic
def _rotate_proof(forget: bool) -> bool:
    """Put the proof under the first key. False: it was lost, and a new one was made."""
    try:
        proof = prove_key(hold=True)
    except WrongKey:
        if not forget:
            raise
        KeyCheck.objects.all().delete()
        prove_key()
        return False
    if not is_current(_proof()[0][0]):
        KeyCheck.objects.filter(pk=proof.pk).update(proof=proof.proof)
    return True


@transaction.atomic
def _rotate(webhook: Webhook, *, recount: bool, by: Actor) -> bool | None:
    """Whether the secret was put under the first key; None: it is gone by now. Raises SecretUnreadable."""
    stored = _stored(webhook.pk)
    if not stored:
        return None
    url, value = (decrypted(column) for column in stored[0])
    if recount:  # fingerprints went with the proof
        Webhook.objects.filter(pk=webhook.pk).update(url_fingerprint=fingerprint(url or ""))
    if all(map(is_current, stored[0])):
        return False
    WebhookSecret.objects.filter(pk=webhook.pk).update(url=url, auth_header_value=value)
    if webhook.integration is not None:
        connecting.note(by, "encrypt_anew", webhook.integration)
    return True


@transaction.atomic
def _forget(webhook: Webhook, by: Actor) -> None:
    WebhookSecret.objects.filter(pk=webhook.pk).delete()
    if webhook.integration is not None:
        Integration.objects.filter(pk=webhook.integration_id).update(
            status=IntegrationStatus.EXPIRED, attention=_FORGOTTEN
        )
        connecting.note(by, "forget_secret", webhook.integration, reason=_FORGOTTEN)


def _name(webhook: Webhook) -> str:
    owner = webhook.integration
    return f"{owner.project.handle}/{owner.name}" if owner is not None else webhook.pk
