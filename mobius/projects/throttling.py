"""How much one key, or one address, may ask for: a generic cell rate, as the pacer's (design §7).

Embedded there is one process, and the counts are in its memory. Else they are rows that all processes share, written
by one statement; where a limit is generous a process takes a whole block of requests at a time, so that the hot path
writes rarely.
"""

from __future__ import annotations

import hashlib
import math
import random
import threading
import time
from dataclasses import dataclass
from functools import cached_property, lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from django.conf import settings
from django.db import DatabaseError

from mobius import clock
from mobius.engine.trouble import is_passing
from mobius.errors import RateLimitExceeded
from mobius.prepared import execute
from mobius.projects.key_models import ApiKey
from mobius.projects.models import Throttle

_SHARED = settings.MOBIUS_ENGINE != "embedded"
_MOST_REMEMBERED = 20_000
_BLOCKS_A_MINUTE = 600
_FORGOTTEN_AFTER_SECONDS = 3600
_TIDIES_UP = 0.001  # of those who write


@dataclass(frozen=True, kw_only=True)
class Limit:
    """So many a minute, and as many at once after a rest."""

    name: str
    per_minute: int
    message: str
    scope: str | None = None

    @cached_property
    def interval(self) -> float:
        """Seconds between two, in the long run."""
        return 60 / self.per_minute

    @cached_property
    def credit(self) -> float:
        """How far `tat` may lie behind: a whole minute's worth but the one that is asked for."""
        return 60 - self.interval

    @property
    def block(self) -> int:
        """How many are taken at once from what processes share."""
        return max(1, self.per_minute // _BLOCKS_A_MINUTE)

    def exceeded(self, *, now: float, tat: float) -> RateLimitExceeded:
        wait = max(tat - now, 0.001)
        return RateLimitExceeded(
            self.message,
            retry_after_seconds=wait,
            limit=self.per_minute,
            remaining=0,
            reset_at=math.ceil(now + wait),
            scope=self.scope,
            policy=f"{self.per_minute};w=60",
        )


FAILED_KEYS = Limit(
    name="failed-keys",
    per_minute=60,
    message="Too many requests with keys that open nothing came from this address. Look at the key, and wait.",
)
UNKNOWN_TOKENS = Limit(
    name="unknown-tokens",
    per_minute=60,
    message="Too many callbacks to addresses that were never given out came from here. Look at the row's callback_url.",
)
SIGN_INS = Limit(
    name="sign-ins",
    per_minute=60,
    message="Too many people, or one program, tried to sign in from this address within a minute. Wait a moment.",
)
TEST_MAILS = Limit(
    name="test-mails",
    per_minute=1,
    message="A test to this address was asked for less than a minute ago. See what became of it, then try again.",
)
FORM_CHECKS = Limit(
    name="form-checks",
    per_minute=120,
    message="What is typed into a form is checked so often only. It is checked again when the form is sent.",
)
REFUSAL_NOTES = Limit(name="refusal-notes", per_minute=60, message="Refused too often for each to be noted.")
USE_NOTES = Limit(name="use-notes", per_minute=60, message="Used by too many for each to be noted.")


_ASKS_TOO_OFTEN = "This API key asks too often. Wait as long as Retry-After says."


def take_request(key: ApiKey) -> None:
    """Count a request of `key`. Raises RateLimitExceeded when it has asked too much."""
    if per_minute := settings.MOBIUS_KEY_REQUESTS_PER_MINUTE:
        _take(_limit_of_keys(per_minute), key.id)


@lru_cache
def _limit_of_keys(per_minute: int) -> Limit:
    return Limit(name="key", per_minute=per_minute, message=_ASKS_TOO_OFTEN, scope="key")


def note_failed_key(address: str) -> None:
    """Count a key that opened nothing. Raises RateLimitExceeded when too many came from `address`.

    Only failures count and only failures are refused: all of Clay's customers come from Clay's few addresses, and one
    of them with a wrong key must not shut out the others.
    """
    _take(FAILED_KEYS, network_of(address))


def note_unknown_token(address: str) -> None:
    """Count a callback address that we never gave out. Raises RateLimitExceeded as above."""
    _take(UNKNOWN_TOKENS, network_of(address))


def take_sign_in(address: str) -> None:
    """Count somebody who types a password, right or wrong: looking at one costs a quarter of a second, and whoever
    tries one password with many names meets no lock. Raises RateLimitExceeded when too many came from `address`.
    """
    _take(SIGN_INS, network_of(address))


def take_test_mail(address: str) -> None:
    """Count a test mail to `address`. Raises RateLimitExceeded when there was one just now."""
    _take(TEST_MAILS, hashlib.sha256(address.lower().encode()).hexdigest()[:40])


def take_check(user_id: int) -> None:
    """Count a look at a form that is being filled in. Raises RateLimitExceeded when there were too many."""
    _take(FORM_CHECKS, str(user_id))


def may_note_refusal(key: ApiKey) -> bool:
    """May one more refused call of `key` be written down? Each process counts for itself: that must cost nothing."""
    return _may_note(REFUSAL_NOTES, key)


def may_note_use(key: ApiKey) -> bool:
    """As above, of what used `key`."""
    return _may_note(USE_NOTES, key)


def _may_note(limit: Limit, key: ApiKey) -> bool:
    try:
        _notes.take(limit, f"{limit.name}:{key.id}", time.time())
    except RateLimitExceeded:
        return False
    return True


def forget() -> None:
    """Forget what this process remembers."""
    _memory.forget()
    _notes.forget()
    _blocks.forget()


def network_of(address: str) -> str:
    """Who asks: an IPv4 address, or an IPv6 network, for whoever has one IPv6 address has 2^64 of them."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:60]
    if isinstance(ip, IPv6Address):
        return str(ip.ipv4_mapped or ip_network((ip, 64), strict=False))
    return str(ip)


def _take(limit: Limit, who: str) -> None:
    if _SHARED:
        _take_shared(limit, f"{limit.name}:{who}")
    else:
        _memory.take(limit, f"{limit.name}:{who}", time.time())


class _Memory:
    """One process's counts: `tat` by bucket."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._tat: dict[str, float] = {}

    def take(self, limit: Limit, bucket: str, now: float) -> None:
        with self._guard:
            tat = self._tat.get(bucket, 0.0)
            if tat > now + 60:  # the clock stepped back
                tat = now
            if tat > now:
                raise limit.exceeded(now=now, tat=tat)
            self._tat[bucket] = max(tat, now - limit.credit) + limit.interval
            if len(self._tat) > _MOST_REMEMBERED:
                self._tat = {name: then for name, then in self._tat.items() if then > now - limit.credit}
            if len(self._tat) > _MOST_REMEMBERED:  # of so many, none is worth remembering
                self._tat.clear()

    def forget(self) -> None:
        with self._guard:
            self._tat.clear()


class _Blocks:
    """What this process has taken of the shared limits and not used yet, by bucket."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._left: dict[str, int] = {}

    def use_one(self, bucket: str) -> bool:
        with self._guard:
            left = self._left.get(bucket, 0)
            if left:
                self._left[bucket] = left - 1
            return left > 0

    def add(self, bucket: str, units: int) -> None:
        with self._guard:
            if len(self._left) > _MOST_REMEMBERED:
                self._left.clear()
            self._left[bucket] = self._left.get(bucket, 0) + units

    def forget(self) -> None:
        with self._guard:
            self._left.clear()


_memory = _Memory()
_notes = _Memory()
_blocks = _Blocks()

# A `tat` further ahead than a minute comes from a clock that stepped back.
_TAKE = """
    INSERT INTO projects_throttle (id, tat) VALUES (%s, %s)
    ON CONFLICT (id) DO UPDATE
    SET tat = %s + CASE WHEN projects_throttle.tat BETWEEN %s AND %s THEN projects_throttle.tat ELSE %s END
    WHERE projects_throttle.tat <= %s OR projects_throttle.tat > %s
"""


def _take_shared(limit: Limit, bucket: str) -> None:
    if _blocks.use_one(bucket):
        return
    now = clock.now().timestamp()
    try:
        for units in sorted({limit.block, 1}, reverse=True):
            if _take_units(limit, bucket, units, now):
                _blocks.add(bucket, units - 1)
                return
    except DatabaseError as error:
        if is_passing(error):
            return  # what cannot be counted just now must not keep out who only reads
        raise
    tat = Throttle.objects.filter(pk=bucket).values_list("tat", flat=True).first()
    raise limit.exceeded(now=now, tat=tat or now)


def _take_units(limit: Limit, bucket: str, units: int, now: float) -> bool:
    """One statement, so that no two processes get the same."""
    if random.random() < _TIDIES_UP:  # noqa: S311  no secret
        Throttle.objects.filter(tat__lt=now - _FORGOTTEN_AFTER_SECONDS).delete()
    floor, cost = now - limit.credit, units * limit.interval
    latest = now - (units - 1) * limit.interval  # so that the last of them is in time, too
    return bool(execute(_TAKE, bucket, floor + cost, cost, floor, now + 60, floor, latest, now + 60))
