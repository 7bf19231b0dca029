"""What has used each API key in the last days: which program, from where, on which days.

What somebody looks at who is about to revoke a key. Calls are not counted: that would cost every call a statement. One
program at one address is noted once every five minutes at most, as the key's last use is; each process remembers by
itself what it has noted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby

from django.db import DatabaseError, transaction

from mobius import clock
from mobius.projects import throttling
from mobius.projects.key_models import ApiKey, KeyUse
from mobius.projects.refusals import storable

DAYS = 7
"""Today among them, in UTC."""
MOST_A_DAY = 20
"""Programs and addresses of one key: whoever holds it may call itself anything."""

NOTED_EVERY = timedelta(minutes=5)
_SECONDS = NOTED_EVERY.total_seconds()
_DAY = 86_400
_MOST_REMEMBERED = 10_000


@dataclass(frozen=True, kw_only=True)
class User:
    """One program at one address."""

    client: str  # as it calls itself; "" when it does not
    network: str
    days: Sequence[date]  # the latest first
    last_at: datetime


class _Noted:
    """When this process noted what for the last time, by its own clock: it is asked at every call.

    Of each use it keeps a number: whoever holds a key may call itself something else, and long, at every call.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._at: dict[int, float] = {}

    def is_due(self, key: ApiKey, address: str, client: str) -> bool:
        """Is it time to note this use? Then it counts as noted."""
        use = hash((key.pk, address, client))
        now, last = time.time(), self._at.get(use)
        if last is not None and last <= now < last + _SECONDS and last // _DAY == now // _DAY:
            return False
        with self._guard:
            if len(self._at) >= _MOST_REMEMBERED:
                self._at.clear()
            self._at[use] = now
        return True

    def forget(self) -> None:
        with self._guard:
            self._at.clear()


_noted = _Noted()
forget = _noted.forget


def note_use(key: ApiKey, *, address: str, client: str) -> None:
    """Note that `key` has opened the door for the program that calls itself `client`, at `address`."""
    if not _noted.is_due(key, address, client) or not throttling.may_note_use(key):
        return
    try:
        _write(key, throttling.network_of(address), storable(client), clock.now())
    except DatabaseError:  # a note, not a duty: the request itself must not fail for it
        pass


def erase_old(*, now: datetime) -> None:
    """Erase what used the keys before the days that are shown: also of those that nothing uses any more."""
    KeyUse.objects.before(_first_day(now)).delete()


def users_of(key: ApiKey) -> list[User]:
    """What used the key in the last days, the latest first."""
    uses = KeyUse.objects.of_key(key).since(_first_day(clock.now())).order_by("client", "network", "-day")
    found = [_user(list(group)) for _, group in groupby(uses, key=lambda use: (use.client, use.network))]
    return sorted(found, key=lambda user: user.last_at, reverse=True)


def _user(uses: list[KeyUse]) -> User:
    latest = uses[0]
    return User(client=latest.client, network=latest.network, days=[use.day for use in uses], last_at=latest.last_at)


@transaction.atomic
def _write(key: ApiKey, network: str, client: str, now: datetime) -> None:
    today = now.astimezone(UTC).date()
    known = KeyUse.objects.of_key(key).filter(day=today, network=network, client=client)
    if known.update(last_at=now):
        return
    if KeyUse.objects.of_key(key).filter(day=today).count() < MOST_A_DAY:
        use = KeyUse(key=key, day=today, network=network, client=client, last_at=now)
        KeyUse.objects.bulk_create([use], ignore_conflicts=True)  # another process may be quicker


def _first_day(now: datetime) -> date:
    return now.astimezone(UTC).date() - timedelta(days=DAYS - 1)
