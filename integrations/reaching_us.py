"""Whether an outside service can call this console, as far as the console's own address tells."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from django.conf import settings


def why_unreachable(name: str) -> str:
    """Why `name`, out on the internet, cannot call this console, and what to do; "" when nothing speaks against it."""
    address: str = settings.MOBIUS_PUBLIC_URL
    todo = f"Set MOBIUS_PUBLIC_URL to the https address under which {name} reaches this console, and start it again."
    if not address:
        return f"This console does not know its own address. {todo}"
    parts = urlsplit(address)
    if _is_private(parts.hostname or ""):
        return f"{name} cannot reach {address}: that address exists only on this machine or in its network. {todo}"
    if parts.scheme != "https":
        return f"{address} is not https, so that everybody on the way could read the key. {todo}"
    return ""


def _is_private(host: str) -> bool:
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return host in ("", "localhost") or host.endswith((".localhost", ".local", ".internal"))
    return not ip.is_global
