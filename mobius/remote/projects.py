"""`mobius projects`: what a key can see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from mobius.remote.commands import Api, Group, over_api, paged
from mobius.remote.printing import JsonObject, moment


@click.group(cls=Group)
def projects() -> None:
    """Projects that the key can see: list, get.

    `mobius project create` (without s) makes one on the console's own machine.
    """


def facts_of(project: JsonObject) -> Sequence[tuple[str, Any]]:
    return [
        ("project", project["id"]),
        ("handle", project["handle"]),
        ("name", project["name"]),
        ("description", project.get("description")),
        ("created", moment(project["created_at"])),
    ]


@projects.command("list")
@click.option("--search", metavar="TEXT", help="Only those whose name, handle or description has it.")
@paged
@over_api
def list_projects(api: Api, search: str | None, cursor: str | None, limit: int) -> None:
    """List projects."""
    columns = {
        "PROJECT": lambda one: one["id"],
        "HANDLE": lambda one: one["handle"],
        "NAME": lambda one: one["name"],
        "CREATED (UTC)": lambda one: moment(one["created_at"]),
    }
    answer = api.pages("/v1/projects", limit=limit, search=search, cursor=cursor)
    api.show_list(answer, columns, empty="The key sees no project.")


@projects.command("get")
@click.argument("handle", required=False)
@over_api
def get(api: Api, handle: str | None) -> None:
    """Show the project HANDLE, else the one that commands are about."""
    from dataclasses import replace

    if handle:
        api.client.place = replace(api.client.place, project=handle, project_from="the argument")
    api.show(api.get(api.at()), facts_of)
