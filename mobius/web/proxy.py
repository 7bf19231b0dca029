"""Who is asking, when a proxy stands between: its word counts only where the configuration says that it is one."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Any

Environ = dict[str, Any]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_SAID_BY_PROXIES = (
    *("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PORT"),
    *("HTTP_FORWARDED", "HTTP_X_REAL_IP"),
)


class BehindProxy:
    """A WSGI application that takes the caller's address from `X-Forwarded-For`, and the scheme from
    `X-Forwarded-Proto`, of the `proxies` (MOBIUS_TRUSTED_PROXIES) alone. Everybody else's are thrown away.

    The address is the last one in the list that is no proxy's: what stands before it could be written by the caller.
    """

    def __init__(self, application: Callable[..., Any], *, proxies: Iterable[str]) -> None:
        self._application = application
        self._networks = tuple(ipaddress.ip_network(proxy, strict=False) for proxy in proxies)

    def __call__(self, environ: Environ, start_response: Any) -> Any:
        if self._networks and self._is_proxy(environ.get("REMOTE_ADDR", "")):
            environ["REMOTE_ADDR"] = self._caller(environ)
        else:
            for header in _SAID_BY_PROXIES:
                environ.pop(header, None)
        return self._application(environ, start_response)

    def _caller(self, environ: Environ) -> str:
        nearest: str = environ["REMOTE_ADDR"]
        for said in reversed(environ.get("HTTP_X_FORWARDED_FOR", "").split(",")):
            address = _address(said)
            if address is None:
                break
            nearest = str(address)
            if not self._is_proxy(nearest):
                break
        return nearest

    def _is_proxy(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self._networks)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
