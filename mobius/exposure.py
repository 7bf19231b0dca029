"""Debug pages show secrets: they may be seen on this machine and nowhere else."""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


def refuse_debug_for_others() -> None:
    """Raises ImproperlyConfigured with DEBUG on, unless only this machine can reach what is about to be served.

    `mobius serve` says where it listens (MOBIUS_LISTENS_ON); of other servers nobody knows.
    """
    if settings.DEBUG and not is_loopback(settings.MOBIUS_LISTENS_ON):
        raise ImproperlyConfigured(
            "DEBUG is on, and debug pages show secrets. Turn DEBUG off, or use `mobius serve` on 127.0.0.1, which "
            "nobody else can reach."
        )


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
