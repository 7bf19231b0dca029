"""People's accounts: who signs in, and with what. They belong to the whole console; `members.py` puts them to work."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from django.contrib.auth.models import Group, User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from mobius.errors import AlreadyExists, InvalidFields, NotFound
from mobius.projects import auditing
from mobius.projects.auditing import Actor
from mobius.projects.models import OneTimePassword

LONGEST_NAME = 150


def create_user(
    *, name: str, password: str, by: Actor, one_time: bool = False, support: str = "", superuser: bool = False
) -> User:
    """An account. `one_time`: the person must choose another password before anything else.

    `support` is the group of Django admin that the person belongs to, Support or Support lead.
    Raises InvalidFields, AlreadyExists for a name that differs from another's in nothing but capitals, and NotFound
    where the group was deleted.
    """
    user = User(username=name, is_superuser=superuser, is_staff=bool(support) or superuser)
    _check(user, password)
    if User.objects.filter(username__iexact=name).exists():
        raise _taken(name)
    user.set_password(password)
    try:
        with transaction.atomic():
            user.save()
            if support:
                user.groups.add(_group(support))
            if one_time:
                OneTimePassword.objects.create(user=user)
            given = {"groups": support, "is_staff": user.is_staff, "is_superuser": superuser}
            note(by, "create", user, changed=["username", "password", *(name for name in given if given[name])])
    except IntegrityError:
        raise _taken(name) from None
    return user


def _group(name: str) -> Group:
    group = Group.objects.filter(name=name).first()
    if group is None:
        raise NotFound(
            f"There is no group named {name} any more: add it in Django admin, or make the account without it."
        )
    return group


def new_password() -> str:
    """One that nobody can guess, for the person to replace."""
    return secrets.token_urlsafe(12)


def password_was_changed(user: User, *, by: Actor) -> None:
    """The person has chosen a password. Sessions that began with another one are over: Django sees to that."""
    with transaction.atomic():
        OneTimePassword.objects.filter(user=user).delete()
        note(by, "change_password", user, changed=["password"])


def must_change_password(user: User) -> bool:
    return OneTimePassword.objects.filter(user=user).exists()


def note(by: Actor, deed: str, user: User, *, changed: Iterable[str] = ()) -> None:
    """Write the deed down in the audit, in the transaction of the deed. It belongs to no project."""
    name = user.get_username()
    auditing.record(
        by, f"user.{deed}", project_id=None, kind="user", id=name, name=user.get_full_name(), changed=changed
    )


def _check(user: User, password: str) -> None:
    try:
        user.full_clean(exclude=["password"], validate_unique=False)
    except ValidationError as error:
        raise InvalidFields({"name": error.messages}) from None
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise InvalidFields({"password": error.messages}) from None


def _taken(name: str) -> AlreadyExists:
    return AlreadyExists(f"There is a user named {name} already.")
