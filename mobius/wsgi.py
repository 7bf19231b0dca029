"""The WSGI application: two chains of middleware, one for pages and a short one for `/v1`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import django
from django.conf import settings
from django.core.handlers.exception import convert_exception_to_response
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest
from django.utils.http import parse_header_parameters
from django.utils.module_loading import import_string

from mobius.engine.crowd import together
from mobius.exposure import refuse_debug_for_others
from mobius.redacting import redact_tracebacks
from mobius.web.proxy import BehindProxy

Chain = Callable[[HttpRequest], Any]  # an HttpResponseBase; Django's own handlers may also be asynchronous

# Whoever is signed in may read them, too.
_FOR_PEOPLE_TOO = frozenset({"/v1/openapi.yaml", "/v1/openapi.json"})
# Starts come in crowds, and none of a start waits for the network: the crowd does all of it.
_RUN_START = re.compile(r"/v1/projects/[^/]+/loops/[^/]+/runs")


class Application(WSGIHandler):
    """Sessions, CSRF tokens and messages cost a third of a run start and mean nothing to a bearer key."""

    _middleware_chain: Any
    _get_response: Any

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        _drop_unreadable_type(environ)
        if environ["REQUEST_METHOD"] == "HEAD":
            return self._head(environ, start_response)
        return super().__call__(environ, start_response)

    def _head(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        """Not every server keeps the body back, and on a connection that stays open it, or the end of an empty one in
        chunks, would be read as the answer to the next request. So there is none, and a length is named."""
        head: list[Any] = []
        answer: Any = super().__call__(environ, lambda *status_and_headers: head.extend(status_and_headers))  # type: ignore[arg-type]
        status, headers = head
        if not answer.streaming and not answer.has_header("Content-Length"):
            headers.append(("Content-Length", str(len(answer.content))))
        answer.close()
        start_response(status, headers)
        return []

    def load_middleware(self, is_async: bool = False) -> None:
        from mobius.engine.doorbell import make_way  # its tasks need the settings

        super().load_middleware(is_async)
        pages: Chain = self._middleware_chain
        api = self._api_chain()

        def start(request: HttpRequest) -> Any:
            make_way()
            return together(partial(api, request))

        # The commit may fail after the answer was made: then the answer is that of the failure.
        start_with_others = convert_exception_to_response(start)

        def choose(request: HttpRequest) -> Any:
            if not request.path_info.startswith("/v1/") or request.path_info in _FOR_PEOPLE_TOO:
                return pages(request)
            if request.method == "POST" and _RUN_START.fullmatch(request.path_info):
                return start_with_others(request)
            return api(request)

        self._middleware_chain = choose

    def _api_chain(self) -> Chain:
        def wrap(chain: Chain, path: str) -> Chain:
            return convert_exception_to_response(import_string(path)(chain))

        innermost: Chain = convert_exception_to_response(self._get_response)
        return reduce(wrap, reversed(settings.API_MIDDLEWARE), innermost)


def _drop_unreadable_type(environ: dict[str, Any]) -> None:
    """Django fails before any handler of ours at a type such as `text/plain; charset*=nonsense''x`."""
    try:
        charset = parse_header_parameters(environ.get("CONTENT_TYPE", ""))[1].get("charset", "")
    except ValueError:
        charset = "\0"
    if "\0" in charset:
        del environ["CONTENT_TYPE"]


os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mobius.settings")
redact_tracebacks()
django.setup(set_prefix=False)
refuse_debug_for_others()
application = BehindProxy(Application(), proxies=settings.MOBIUS_TRUSTED_PROXIES)
