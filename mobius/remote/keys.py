"""`mobius keys`: a project's API keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from mobius.remote.commands import Api, Group, confirm, over_api, paged, yes_option
from mobius.remote.printing import JsonObject, moment
from mobius.remote.troubles import Trouble

ROLES = ["viewer", "operator", "admin", "run", "callback"]


@click.group(cls=Group, aliases={"delete": "revoke"})
def keys() -> None:
    """API keys: list, create, revoke.

    `mobius key create` (without s) makes one on the console's own machine, without needing one.
    """


def facts_of(key: JsonObject) -> Sequence[tuple[str, Any]]:
    return [
        ("key", key["id"]),
        ("name", key["name"]),
        ("begins", key["key_prefix"]),
        ("role", key.get("scope_role_id")),
        ("principal", key["principal_id"]),
        ("expires", moment(key.get("expires_at"))),
        ("last used", moment(key.get("last_used_at"))),
        ("created", moment(key["created_at"])),
    ]


@keys.command("list")
@paged
@over_api
def list_keys(api: Api, cursor: str | None, limit: int) -> None:
    """List live keys."""
    columns = {
        "KEY": lambda key: key["id"],
        "NAME": lambda key: key["name"],
        "BEGINS": lambda key: key["key_prefix"],
        "ROLE": lambda key: key.get("scope_role_id"),
        "LAST USED (UTC)": lambda key: moment(key.get("last_used_at")) or "never",
        "EXPIRES (UTC)": lambda key: moment(key.get("expires_at")),
    }
    api.show_list(api.pages(api.at("api-keys"), limit=limit, cursor=cursor), columns, empty="There are no keys.")


@keys.command("get")
@click.argument("key")
@over_api
def get(api: Api, key: str) -> None:
    """Show one key, by its name or its id."""
    api.show(api.get(api.at("api-keys", _find(api, key)["id"])), facts_of)


@keys.command("create")
@click.option("--name", required=True, help="What the key is for.")
@click.option("--role", type=click.Choice(ROLES), help="What it may do; run and callback are narrow enough for Clay.")
@click.option("--principal-id", metavar="ID", help="The service principal that it acts as.")
@click.option("--expires-at", metavar="TIME", help="When it ends, such as 2027-01-31T00:00:00Z.")
@over_api
def create(api: Api, name: str, role: str | None, principal_id: str | None, expires_at: str | None) -> None:
    """Make an API key and print it, alone, on standard output. It is shown this once."""
    wanted = {"name": name, "scope_role_id": role, "principal_id": principal_id, "expires_at": expires_at}
    body = {field: value for field, value in wanted.items() if value is not None}
    answer = api.write("POST", api.at("api-keys"), body)
    click.echo(answer.text if api.as_json else answer.json["key"])


@keys.command("revoke")
@click.argument("key")
@yes_option
@over_api
def revoke(api: Api, key: str, yes: bool) -> None:
    """End a key at once, by its name or its id."""
    found = _find(api, key)
    confirm(f"Revoke the key “{found['name']}” ({found['key_prefix']}…)? Whoever uses it is shut out.", yes=yes)
    api.write("DELETE", api.at("api-keys", found["id"]))
    api.done(f"The key “{found['name']}” opens nothing any more.")


def _find(api: Api, name_or_id: str) -> JsonObject:
    if name_or_id.startswith("cred_"):
        return dict(api.get(api.at("api-keys", name_or_id)).json)
    for key in api.pages(api.at("api-keys"), limit=10_000).json["items"]:
        if key["name"] == name_or_id:
            return dict(key)
    raise Trouble(f"No live key is named “{name_or_id}”. `mobius keys list` shows them.")
