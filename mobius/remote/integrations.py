"""`mobius integrations`: connect Clay, test it, see what is left of its budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from mobius.remote.commands import Api, Group, confirm, over_api, paged, yes_option
from mobius.remote.connecting import read_connection
from mobius.remote.printing import JsonObject, moment, print_facts
from mobius.remote.troubles import Trouble

TEST_SECONDS = 60.0  # the console itself waits 15 for the other side
_COST = (
    "A test sends one real row: it appears in the table, uses one of the webhook's submissions for good, "
    "and may start enrichments that cost credits."
)


@click.group(cls=Group, aliases={"status": "get", "delete": "disconnect", "list-providers": "providers"})
def integrations() -> None:
    """Integrations: connect Clay, test, pause, disconnect.

    \b
    mobius integrations connect clay
    mobius integrations test clay
    """


def facts_of(integration: JsonObject) -> Sequence[tuple[str, Any]]:
    config = integration.get("config") or {}
    return [
        ("integration", integration["id"]),
        ("name", integration["name"]),
        ("provider", integration["provider"]),
        ("status", integration["status"]),
        ("attention", config.get("attention")),
        ("webhook", config.get("webhook_url")),
        ("auth header", config.get("auth_header_name")),
        *_usage(integration.get("usage") or {}),
        *((name.replace("_", " "), value) for name, value in (integration.get("settings") or {}).items()),
        ("successor", (integration.get("successor") or {}).get("webhook_url")),
        ("updated", moment(integration["updated_at"])),
    ]


def _usage(usage: JsonObject) -> Sequence[tuple[str, Any]]:
    if not usage:
        return []
    limit = "no limit" if usage.get("limit") is None else usage["limit"]
    return [
        ("used", usage.get("used")),
        ("possibly used", usage.get("possibly_used") or None),
        ("on their way", usage.get("in_flight") or None),
        ("limit", limit),
        ("left", usage.get("left")),
        ("used up about", moment(usage.get("forecast_at"))),
    ]


def find(api: Api, name_or_id: str) -> JsonObject:
    """The integration of this name or id. Raises Trouble when there is none, or several."""
    if name_or_id.startswith("intg_"):
        return dict(api.get(api.at("integrations", name_or_id)).json)
    every: list[JsonObject] = api.pages(api.at("integrations"), limit=1000).json["items"]
    found = [one for one in every if one["name"] == name_or_id]
    if len(found) == 1:
        return found[0]
    if found:
        raise Trouble(f"Several are named “{name_or_id}”: use an id, {', '.join(one['id'] for one in found)}.")
    names = ", ".join(one["name"] for one in every)
    there_are = f"There are: {names}." if names else f"None is connected: mobius integrations connect {name_or_id}"
    raise Trouble(f"No integration of “{api.client.place.project}” is named “{name_or_id}”. {there_are}")


@integrations.command("list")
@click.option("--provider", metavar="PROVIDER", help="Only of this provider, such as clay.")
@click.option("--status", type=click.Choice(["active", "inactive", "expired"]), help="Only these.")
@paged
@over_api
def list_integrations(api: Api, provider: str | None, status: str | None, cursor: str | None, limit: int) -> None:
    """List integrations."""
    columns = {
        "INTEGRATION": lambda one: one["id"],
        "NAME": lambda one: one["name"],
        "PROVIDER": lambda one: one["provider"],
        "STATUS": lambda one: one["status"],
        "WEBHOOK": lambda one: one["config"].get("webhook_url"),
        "USED": lambda one: one.get("usage", {}).get("used"),
        "LEFT": lambda one: one.get("usage", {}).get("left"),
        "ATTENTION": lambda one: one["config"].get("attention"),
    }
    answer = api.pages(api.at("integrations"), limit=limit, provider=provider, status=status, cursor=cursor)
    api.show_list(answer, columns, empty="Nothing is connected. Connect a table: mobius integrations connect clay")


@integrations.command("get")
@click.argument("integration")
@over_api
def get(api: Api, integration: str) -> None:
    """Show one integration, by its name or its id."""
    api.show(api.get(api.at("integrations", find(api, integration)["id"])), facts_of)


@integrations.command("providers")
@over_api
def providers(api: Api) -> None:
    """List what can be connected, and what is."""
    columns = {
        "PROVIDER": lambda one: one["name"],
        "NAME": lambda one: one["display_name"],
        "CONNECTED": lambda one: one["connection"].get("integration_name") or "no",
        "STATUS": lambda one: one["connection"].get("status"),
        "ACTIONS": lambda one: ", ".join(action["name"] for action in one["actions"]),
    }
    answer = api.get(api.at("integrations", "providers"))
    api.show_list(answer, columns, empty="This console has no providers.", key="providers")


@integrations.command("connect")
@click.argument("provider")
@click.argument("webhook_url", required=False)
@click.option("--curl", "curl_file", metavar="FILE", help="Take URL and header from a curl command; - reads it here.")
@click.option("--auth-header-name", metavar="NAME", help="The header that the webhook demands, if it does.")
@click.option("--auth-header-value-stdin", is_flag=True, help="Read its value from standard input, else it is asked.")
@click.option("--name", metavar="NAME", help="How loops name it. Default: the provider's id.")
@click.option("--workspace", metavar="LABEL", help="Integrations with one label share their pace.")
@click.option("--submission-limit", metavar="NUMBER", help="Rows for life, or unlimited. Default: 50,000.")
@click.option("--submissions-used", type=click.IntRange(0), metavar="NUMBER", help="Rows that it has taken already.")
@click.option("--rate-per-second", metavar="NUMBER", help="Rows a second, or unlimited. Default: just below Clay's 10.")
@click.option("--test", "then_test", is_flag=True, help="Send one marked row afterwards, and say what came of it.")
@over_api
def connect(
    api: Api,
    provider: str,
    webhook_url: str | None,
    curl_file: str | None,
    auth_header_name: str | None,
    auth_header_value_stdin: bool,
    then_test: bool,
    **options: Any,
) -> None:
    """Connect PROVIDER (clay) by its webhook; connecting the same name again replaces it.

    What is missing is asked: the URL, or the whole curl command that Clay shows, and the header's value, unseen. The
    value is never an argument, because arguments can be read in lists of processes.

    \b
    mobius integrations connect clay
    mobius integrations connect clay --curl - --test < copied-from-clay.txt
    mobius integrations connect clay URL --auth-header-name x-clay-webhook-auth --auth-header-value-stdin < token
    """
    body = read_connection(webhook_url, curl_file, auth_header_name, auth_header_value_stdin)
    body |= {name: value for name, value in options.items() if value is not None}
    answer = api.write("POST", api.at("integrations", "providers", provider, "connect"), body)
    connected = answer.json.get("integration")
    if connected is None or api.as_json:
        click.echo(answer.text)
    else:  # asked for anew: only the answer to a connection has the whole URL, which is a secret
        api.show(api.get(api.at("integrations", connected["id"])), facts_of)
    if connected is not None and then_test:
        _test(api, connected)


@integrations.command("test")
@click.argument("integration")
@over_api
def test(api: Api, integration: str) -> None:
    """Send one marked row, for real, and say what the answer means.

    It appears in the table, uses one of the webhook's submissions for good, and may start enrichments.
    """
    _test(api, find(api, integration))


def _test(api: Api, integration: JsonObject) -> None:
    click.echo(_COST, err=True)
    path = api.at("integrations", integration["id"], "test")
    answer = api.write("POST", path, {}, seconds=TEST_SECONDS)
    if api.as_json:
        click.echo(answer.text)
    else:
        _show_test(answer.json)
    if not answer.json["ok"]:
        click.get_current_context().exit(1)


def _show_test(test: JsonObject) -> None:
    latency = test.get("latency_ms")
    print_facts(
        [
            ("test", "ok" if test["ok"] else "failed"),
            ("reached", ", ".join(test.get("stages") or []) or "nothing"),
            ("answer", " ".join(map(str, filter(None, [test.get("status_code"), test.get("answer")])))),
            ("took", f"{latency} ms" if latency is not None else None),
            ("delivery", f"{test['delivery_id']} {test['state']}"),
            ("meaning", test.get("cause")),
            ("what to do", test.get("fix")),
        ]
    )


def _switch(verb: str, status: str, text: str) -> None:
    @integrations.command(verb, help=text)
    @click.argument("integration")
    @over_api
    def switch(api: Api, integration: str) -> None:
        api.show(api.write("PUT", api.at("integrations", find(api, integration)["id"]), {"status": status}), facts_of)


_switch("pause", "inactive", "Hold every row back. Rows wait, and keep their places.")
_switch("resume", "active", "Let the waiting rows go. `usage` says how many they are.")


@integrations.command("disconnect")
@click.argument("integration")
@yes_option
@over_api
def disconnect(api: Api, integration: str, yes: bool) -> None:
    """Forget the webhook and its secret for good."""
    found = find(api, integration)
    confirm(f"Disconnect “{found['name']}” and erase its secret? Loops that use it will fail.", yes=yes)
    api.write("DELETE", api.at("integrations", found["id"]))
    api.done(f"“{found['name']}” is disconnected.")


@integrations.command("usage")
@click.argument("integration")
@over_api
def usage(api: Api, integration: str) -> None:
    """Show what is left of the webhook's submissions, and how many rows wait."""
    answer = api.get(api.at("integrations", find(api, integration)["id"], "queue"))

    def facts(queue: JsonObject) -> Sequence[tuple[str, Any]]:
        seconds = queue.get("seconds")
        return [
            *_usage(queue.get("usage") or {}),
            ("waiting rows", queue["rows"]),
            ("over the budget", queue.get("over_budget") or None),
            ("rows a second", queue.get("rate_per_second")),
            ("sending takes", f"about {seconds:g} s" if queue["rows"] and seconds is not None else None),
        ]

    api.show(answer, facts)
