"""`mobius loops`: what a project automates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from mobius.remote.commands import Api, Group, confirm, named, over_api, paged, read_file, read_object, yes_option
from mobius.remote.printing import JsonObject, moment

STATUSES = ["draft", "active", "paused"]


@click.group(cls=Group)
def loops() -> None:
    """Loops: list, create, update, delete.

    \b
    mobius loops create push-lead.json
    mobius loops get push-lead --json
    """


def facts_of(loop: JsonObject) -> Sequence[tuple[str, Any]]:
    return [
        ("loop", loop["id"]),
        ("name", loop["name"]),
        ("status", loop["status"]),
        ("description", loop.get("description")),
        ("steps", "\n".join(_step(place, step) for place, step in enumerate(loop.get("steps") or []))),
        ("triggers", ", ".join(trigger["kind"] for trigger in loop.get("triggers") or [])),
        ("concurrency", loop.get("concurrency")),
        ("last run", moment(loop.get("last_run_at"))),
        ("created", moment(loop["created_at"])),
        ("updated", moment(loop["updated_at"])),
    ]


def _step(place: int, step: JsonObject) -> str:
    config = step.get("config") or {}
    what = config.get("action_name") or config.get("event_type") or config.get("duration") or ""
    return f"{step.get('id', place)}: {step['kind']} {what}".rstrip()


@loops.command("list")
@click.option("--status", type=click.Choice(STATUSES), help="Only these.")
@paged
@over_api
def list_loops(api: Api, status: str | None, cursor: str | None, limit: int) -> None:
    """List loops, newest first."""
    columns = {
        "LOOP": lambda loop: loop["id"],
        "NAME": lambda loop: loop["name"],
        "STATUS": lambda loop: loop["status"],
        "STEPS": lambda loop: len(loop.get("steps") or []),
        "LAST RUN (UTC)": lambda loop: moment(loop.get("last_run_at")),
    }
    answer = api.pages(api.at("loops"), limit=limit, status=status, cursor=cursor)
    api.show_list(answer, columns, empty="There are no loops. Make one: mobius loops create FILE")


@loops.command("get")
@click.argument("loop")
@over_api
def get(api: Api, loop: str) -> None:
    """Show one loop, by its id or its name. --json prints it whole."""
    api.show(api.get(api.at("loops", loop)), facts_of)


def _authored(function: Any) -> Any:
    """The options that say what a loop is to be."""
    for option in (
        click.option("--steps", metavar="JSON", help="The steps: a JSON array, @FILE or @-."),
        click.option("--description", metavar="TEXT", help="Overrides the file's."),
        click.option("--name", metavar="NAME", help="Overrides the file's."),
        click.option("-f", "--file", "file_option", metavar="FILE", help="The same as the argument FILE."),
    ):
        function = option(function)
    return function


def _body(file: str | None, file_option: str | None, **fields: Any) -> JsonObject:
    source = file or file_option
    body = read_object(read_file(source, "the loop"), f"The loop in {named(source)}") if source else {}
    if (steps := fields.pop("steps", None)) is not None:
        body["steps"] = read_object(steps, "--steps", of=list)
    body |= {name: value for name, value in fields.items() if value is not None}
    if not body:
        raise click.UsageError("Say what the loop is to be: a FILE with its JSON, - for standard input, or options.")
    return body


@loops.command("create")
@click.argument("file", required=False)
@_authored
@over_api
def create(
    api: Api, file: str | None, file_option: str | None, name: str | None, description: str | None, steps: str | None
) -> None:
    """Make a loop from the JSON in FILE; - reads standard input.

    \b
    {"name": "push-lead", "steps": [{"id": "push", "kind": "action", "config": {
      "action_name": "clay.webhook.submit",
      "parameters": {"payload": {"email": "${{ event.email }}"}, "request_id": "${{ meta.run_id }}"}}}]}
    """
    body = _body(file, file_option, name=name, description=description, steps=steps)
    api.show(api.write("POST", api.at("loops"), body), facts_of)


@loops.command("update")
@click.argument("loop")
@click.argument("file", required=False)
@_authored
@click.option("--status", type=click.Choice(STATUSES), help="A paused loop starts nothing.")
@over_api
def update(
    api: Api,
    loop: str,
    file: str | None,
    file_option: str | None,
    name: str | None,
    description: str | None,
    steps: str | None,
    status: str | None,
) -> None:
    """Change a loop: what FILE or an option names is replaced, the rest stays. Runs under way keep their version."""
    body = _body(file, file_option, name=name, description=description, steps=steps, status=status)
    api.show(api.write("PATCH", api.at("loops", loop), body), facts_of)


@loops.command("delete")
@click.argument("loop")
@yes_option
@over_api
def delete(api: Api, loop: str, yes: bool) -> None:
    """Delete a loop. Its runs stay readable; new ones cannot start."""
    confirm(f"Delete the loop “{loop}”?", yes=yes)
    api.write("DELETE", api.at("loops", loop))
    api.done(f"The loop “{loop}” is deleted.")
