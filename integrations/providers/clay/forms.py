"""Connecting Clay: the webhook's URL, and the token if the webhook needs one."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from ..webhook_form import WebhookConnectForm

TOKEN_HEADER = "x-clay-webhook-auth"  # noqa: S105  (a name, not a token)
"""The header that Clay itself checks; its value is the bare token (clay.md §1.1)."""

_CLAY_HOST = "api.clay.com"
_CLAY_PATH = "/v3/sources/webhook/"


class ClayConnectForm(WebhookConnectForm):
    token_header = TOKEN_HEADER  # the page's box "This webhook needs a token" fills it in

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["webhook_url"].widget.attrs["placeholder"] = f"https://{_CLAY_HOST}{_CLAY_PATH}…"
        # Never an initial value: the pair rule would then refuse every webhook without a token.
        self.fields["auth_header_name"].widget.attrs["placeholder"] = TOKEN_HEADER

    def warnings(self) -> list[str]:
        connection = self.connection
        address = urlsplit(connection.webhook_url)
        found = []
        if address.hostname != _CLAY_HOST:
            found.append(f"Clay's own webhooks are at {_CLAY_HOST}; rows will go to {address.hostname} instead.")
        elif not address.path.startswith(_CLAY_PATH):
            found.append(f"Clay's webhook URLs begin with https://{_CLAY_HOST}{_CLAY_PATH}; is this one complete?")
        if address.hostname == _CLAY_HOST and connection.auth_header_name.lower() == "authorization":
            found.append(
                f"Clay does not look at Authorization: a webhook with a token checks the header {TOKEN_HEADER}, "
                "whose value is the bare token without the word Bearer. Rotate the header if tests answer 401."
            )
        return found
