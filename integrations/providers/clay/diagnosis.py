"""What Clay's answers mean, and the one thing to do (clay.md §3 U2)."""

from __future__ import annotations

from ..contract import Diagnosis, Exchange, Failure

LIMIT_TEXT = "record limit reached"
"""Clay's 403 at the lifetime limit says "Record limit reached for webhook" (clay.md §1.1)."""

_BY_STATUS = {
    400: Diagnosis(
        cause="Clay could not use the request: it is no JSON, its content type is wrong, or it is too large.",
        fix="Check that the URL is the one Clay shows for a webhook, and that the row is a JSON object below 100 KB.",
    ),
    401: Diagnosis(
        cause="The token is missing or wrong.",
        fix="Give the header x-clay-webhook-auth with the token. Clay shows a token once: if it is lost, make a new "
        "one in the webhook's settings and use Rotate here.",
    ),
    403: Diagnosis(
        cause="Clay refused the row for a reason that it does not explain.",
        fix="Open the webhook's source in Clay and see whether it is still allowed to receive rows.",
    ),
    404: Diagnosis(
        cause="There is no webhook at this URL: it was deleted in Clay, or the URL was cut when it was copied.",
        fix="Copy the whole URL from the webhook's source in Clay and connect again.",
    ),
    410: Diagnosis(
        cause="The webhook at this URL is gone.",
        fix="Make a new webhook in Clay and connect its URL.",
    ),
    413: Diagnosis(
        cause="Clay found the row too large.",
        fix="Send fewer or shorter values; a row may have 100 KB.",
    ),
    429: Diagnosis(
        cause="Rows come faster than your Clay workspace takes them: other senders share its 10 rows a second.",
        fix="Wait a moment. If it happens often, lower the pace of this workspace in the integration's settings.",
    ),
}

_AT_LIMIT = Diagnosis(
    cause="This webhook has taken the 50,000 rows that Clay grants it for life; deleting rows gives nothing back.",
    fix="Make a new webhook in Clay and connect its URL.",
    at_limit=True,
)

_BY_FAILURE = {
    Failure.UNREACHABLE: Diagnosis(
        cause="The address does not resolve to a server that may be called.",
        fix="Check the host name in the URL. Private addresses must be allowed by whoever runs this console.",
    ),
    Failure.CONNECT: Diagnosis(cause="The server refused the connection.", fix="Check the URL, or try again later."),
    Failure.CONNECT_TIMEOUT: Diagnosis(
        cause="The server did not answer the connection within 5 seconds.", fix="Check the URL, or try again later."
    ),
    Failure.TLS: Diagnosis(
        cause="The server's certificate is not valid for this name, has expired, or is not trusted.",
        fix="Check the host name in the URL.",
    ),
    Failure.WITHHELD: Diagnosis(cause="Nothing was sent.", fix="Try again."),
}

_NO_ANSWER = Diagnosis(
    cause="The row was sent, but no answer came back: it may or may not have arrived.",
    fix="Look for the row in Clay before you send it again.",
)


def diagnose(exchange: Exchange) -> Diagnosis:
    """What `exchange` means in plain words."""
    status = exchange.status
    if status is None:
        return _BY_FAILURE.get(exchange.failure or Failure.RESET, _NO_ANSWER)
    if exchange.accepted:
        return Diagnosis(cause="Clay accepted the row.", fix="")
    if status == 403 and LIMIT_TEXT in exchange.body.decode(errors="replace").lower():
        return _AT_LIMIT
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 300 <= status < 400:
        return Diagnosis(
            cause="The server sent us elsewhere; rows are never sent on, for the header is meant for this address.",
            fix="Connect the final URL, exactly as Clay shows it.",
        )
    if status >= 500:
        return Diagnosis(
            cause="Clay had an error of its own: the row may or may not have arrived.",
            fix="Look for the row in Clay before you send it again.",
        )
    return Diagnosis(cause="Clay refused the row and did not say why.", fix="Check the URL and the row.")
