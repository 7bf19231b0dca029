"""Reading what opens a webhook, so that no secret need be an argument, which any list of processes shows."""

from __future__ import annotations

import sys

import click

from mobius.remote.commands import STANDARD_INPUT, read_file
from mobius.remote.printing import JsonObject


def read_connection(url: str | None, curl_file: str | None, header: str | None, value_here: bool) -> JsonObject:
    """What opens a webhook: the URL and the header, from arguments, a curl command, standard input or the terminal.

    `curl_file` is a file or `-`; `value_here`: the header's value is on standard input. Raises UsageError.
    """
    if url and curl_file:
        raise click.UsageError("Give the webhook URL or --curl, not both.")
    if value_here and not header:
        raise click.UsageError("Name the header, too: --auth-header-name.")
    if value_here and STANDARD_INPUT in (url, curl_file):
        raise click.UsageError("Standard input can hold one thing only. Give the URL as an argument.")
    if curl_file:
        pasted = read_file(curl_file, "the curl command")
    elif url == STANDARD_INPUT:
        pasted = read_file(url, "the webhook URL").strip()
    else:
        pasted = url or _asked_url()
    body = _taken_apart(pasted, demand_curl=bool(curl_file))
    if header:
        body["auth_header_name"] = header
        body["auth_header_value"] = _read_value(header) if value_here else _asked_value(header)
    return body


def _taken_apart(pasted: str, *, demand_curl: bool) -> JsonObject:
    from integrations.curl import UnreadableCurl, is_curl, read_curl

    if not demand_curl and not is_curl(pasted):
        return {"webhook_url": pasted}
    try:
        request = read_curl(pasted)
        name, value = request.auth_header("x-clay-webhook-auth")
    except UnreadableCurl as error:
        raise click.UsageError(error.message) from None
    click.echo(f"Took the URL{f' and the header {name}' if name else ''} from the curl command.", err=True)
    return {"webhook_url": request.url} | ({"auth_header_name": name, "auth_header_value": value} if name else {})


def _asked_url() -> str:
    """The webhook URL, or all lines of a curl command, from the terminal."""
    if not sys.stdin.isatty():
        raise click.UsageError("Give the webhook URL as an argument, or --curl - with Clay's curl command.")
    text: str = click.prompt("Webhook URL, or Clay's curl command", err=True)
    lines = [text]
    while lines[-1].endswith(("\\", "^")):  # the shell's signs that a command goes on
        lines.append(sys.stdin.readline().rstrip("\r\n"))
    return "\n".join(lines)


def _read_value(header: str) -> str:
    return read_file(STANDARD_INPUT, f"the value of {header}", first_line=True).rstrip("\r\n")


def _asked_value(header: str) -> str:
    if not sys.stdin.isatty():
        raise click.UsageError(f"Give the value of {header} on standard input: --auth-header-value-stdin.")
    value: str = click.prompt(f"Value of {header} (unseen)", hide_input=True, err=True)
    return value
