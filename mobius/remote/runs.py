"""`mobius runs`: start, watch and operate runs of loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from mobius.remote.commands import INTERRUPTED, Api, Group, named, over_api, paged, read_file, read_object
from mobius.remote.printing import JsonObject, moment, plain
from mobius.remote.telling import as_json, because_of, ending_of, line_of

STATUSES = ["queued", "running", "suspended", "completed", "failed", "cancelled"]


@click.group(
    cls=Group,
    aliases={"list-steps": "steps", "list-events": "events", "send-signal": "signal"},
)
def runs() -> None:
    """Runs: start, watch, cancel, retry.

    \b
    mobius runs start push-lead --set email=ada@example.com --watch
    mobius runs list --status failed
    """


def facts_of(run: JsonObject) -> Sequence[tuple[str, Any]]:
    error = ": ".join(filter(None, [run.get("error_type"), run.get("error_message")]))
    return [
        ("run", run["id"]),
        ("name", run.get("name")),
        ("loop", f"{run.get('loop_name') or run['loop_id']}, version {run['loop_version']}"),
        ("status", " ".join(filter(None, [run["status"], because_of(run)]))),
        ("attempt", run.get("attempt")),
        ("error", error),
        ("created", moment(run["created_at"])),
        ("started", moment(run.get("started_at"))),
        ("wakes", moment(run.get("wake_at"))),
        ("ended", moment(run.get("completed_at"))),
        ("source", (run.get("source") or {}).get("label")),
        ("event", run.get("event")),
        ("result", run.get("result")),
    ]


@runs.command("list")
@click.option("--status", type=click.Choice(STATUSES), help="Only these.")
@click.option("--loop", "loop", metavar="LOOP", help="Only runs of this loop (id or name).")
@click.option("--source-event-id", metavar="ID", help="Only the runs of one firing of a trigger.")
@paged
@over_api
def list_runs(
    api: Api, status: str | None, loop: str | None, source_event_id: str | None, cursor: str | None, limit: int
) -> None:
    """List runs, newest first."""
    loop_id = api.get(api.at("loops", loop)).json["id"] if loop else None
    answer = api.pages(
        api.at("runs"), limit=limit, status=status, loop_id=loop_id, source_event_id=source_event_id, cursor=cursor
    )
    columns = {
        "RUN": lambda run: run["id"],
        "LOOP": lambda run: run.get("loop_name"),
        "STATUS": lambda run: run["status"],
        "CREATED (UTC)": lambda run: moment(run["created_at"]),
        "ERROR": lambda run: run.get("error_message"),
    }
    api.show_list(answer, columns, empty="There are no runs. Start one: mobius runs start LOOP")


@runs.command("get")
@click.argument("run")
@over_api
def get(api: Api, run: str) -> None:
    """Show one run."""
    api.show(api.get(api.at("runs", run)), facts_of)


@runs.command("start")
@click.argument("loop")
@click.option("--event", metavar="JSON", help="The run's event: a JSON object, @FILE, or @- for standard input.")
@click.option("--event-file", metavar="FILE", help="The run's event from a file; - for standard input.")
@click.option("--set", "pairs", metavar="NAME=VALUE", multiple=True, help="One text of the event. Repeatable.")
@click.option("--config", metavar="JSON", help="Values for the loop's config: a JSON object, @FILE or @-.")
@click.option("--meta", metavar="JSON", help="Values to keep with the run: a JSON object, @FILE or @-.")
@click.option("--idempotency-key", metavar="KEY", help="The same key gives the same run as long as that is active.")
@click.option("--watch", "then_watch", is_flag=True, help="Follow the run to its end.")
@over_api
def start(
    api: Api,
    loop: str,
    event: str | None,
    event_file: str | None,
    pairs: tuple[str, ...],
    config: str | None,
    meta: str | None,
    idempotency_key: str | None,
    then_watch: bool,
) -> None:
    """Start a run of LOOP (its id or its name).

    A start is never done twice: it carries an idempotency key, yours or one of its own, and is asked again with the
    same key when the console is busy or the connection breaks.

    \b
    mobius runs start push-lead --set email=ada@example.com
    mobius runs start push-lead --event '{"email": "ada@example.com", "score": 9}' --idempotency-key lead:1
    """
    body: JsonObject = {"event": _event(event, event_file, pairs)}
    for name, text in (("config", config), ("meta", meta)):
        if text is not None:
            body[name] = read_object(text, f"--{name}")
    if idempotency_key:
        body["idempotency_key"] = idempotency_key
    started = api.client.start(loop, body)
    api.show(started, facts_of if not then_watch else lambda run: [("run", run["id"])])
    if then_watch:
        _watch(api, started.json["id"], after=0)


def _event(event: str | None, event_file: str | None, pairs: Sequence[str]) -> JsonObject:
    if event is not None and event_file is not None:
        raise click.UsageError("Give --event or --event-file, not both.")
    given: JsonObject = {}
    if event is not None:
        given = read_object(event, "--event")
    if event_file is not None:
        given = read_object(read_file(event_file, "the event"), f"The event in {named(event_file)}")
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise click.UsageError(f"--set takes NAME=VALUE, such as --set email=ada@example.com; not “{pair}”.")
        given[name] = value
    return given


@runs.command("watch")
@click.argument("run")
@click.option("--after", metavar="NUMBER", type=click.IntRange(0), default=0, help="Only events after this one.")
@over_api
def watch(api: Api, run: str, after: int) -> None:
    """Follow a run to its end: what happened so far, then what happens.

    Goes on where it was when the connection breaks or the console restarts. Exit status 0 when the run has completed,
    1 when it failed or was cancelled. With --json each event is a line of JSON.
    """
    _watch(api, run, after=after)


def _watch(api: Api, run_id: str, *, after: int) -> None:
    from mobius.remote.watching import follow

    context = click.get_current_context()
    try:
        for event in follow(api.client, run_id, after=after):
            click.echo(as_json(event) if api.as_json else line_of(event))
    except KeyboardInterrupt:
        click.echo(f"\nThe run goes on. Follow it again with: mobius runs watch {plain(run_id)}", err=True)
        context.exit(INTERRUPTED)
    run = api.get(api.at("runs", run_id)).json
    if not api.as_json:
        click.echo(ending_of(run))
    context.exit(0 if run["status"] == "completed" else 1)


reason = click.option("--reason", metavar="TEXT", default="", help="Why; it is kept in the log and the audit.")


@runs.command("cancel")
@click.argument("run")
@reason
@over_api
def cancel(api: Api, run: str, reason: str) -> None:
    """Cancel a run. A row that is on its way still arrives."""
    api.show(api.write("POST", api.at("runs", run, "cancel"), {"reason": reason}), facts_of)


def _going_on(verb: str, text: str) -> None:
    @runs.command(verb, help=text)
    @click.argument("run")
    @reason
    @click.option(
        "--extend-seconds",
        "--wall-clock-extend-seconds",
        type=click.IntRange(1),
        help="So much more time, for a run that has used up its own.",
    )
    @over_api
    def go_on(api: Api, run: str, reason: str, extend_seconds: int | None) -> None:
        body: JsonObject = {"reason": reason}
        if extend_seconds:
            body["wall_clock_extend_seconds"] = extend_seconds
        api.show(api.write("POST", api.at("runs", run, verb), body), facts_of)


_going_on("retry", "Let a failed run go on from where it failed. A row that was accepted is not sent again.")
_going_on("resume", "As retry; the log calls it a resumption.")


@runs.command("signal")
@click.argument("run")
@click.argument("step", required=False)
@click.option("--step-key", metavar="STEP", help="The step, as an option.")
@click.option("--result", metavar="JSON", default="{}", help="The step's output: a JSON object, @FILE or @-.")
@over_api
def signal(api: Api, run: str, step: str | None, step_key: str | None, result: str) -> None:
    """End the wait of a suspended STEP, with --result as its output."""
    if not (key := step or step_key):
        raise click.UsageError("Name the step: mobius runs signal RUN STEP. `mobius runs steps RUN` lists them.")
    body = {"step_key": key, "result": read_object(result, "--result")}
    api.show(api.write("POST", api.at("runs", run, "signals"), body), facts_of)


@runs.command("steps")
@click.argument("run")
@over_api
def steps(api: Api, run: str) -> None:
    """List a run's steps, in their order."""
    columns = {
        "STEP": lambda step: step["step_key"],
        "KIND": lambda step: step["kind"],
        "STATUS": lambda step: step["status"],
        "ATTEMPT": lambda step: step["attempt"],
        "ENDED (UTC)": lambda step: moment(step.get("completed_at")),
        "RESULT OR ERROR": lambda step: step.get("error_message") or step.get("result"),
    }
    api.show_list(api.get(api.at("runs", run, "steps")), columns, empty="The run has no steps.")


@runs.command("events")
@click.argument("run")
@click.option("--after", "--after-sequence", "after", type=click.IntRange(0), default=0, help="Only later ones.")
@click.option("--limit", type=click.IntRange(1, 100), default=100, show_default=True, help="At most.")
@over_api
def events(api: Api, run: str, after: int, limit: int) -> None:
    """List what has happened to a run. `mobius runs watch` goes on and waits for more."""
    answer = api.get(api.at("runs", run, "events"), {"after_sequence": after, "limit": limit})
    if api.as_json:
        click.echo(answer.text)
        return
    for event in answer.json["items"]:
        click.echo(line_of(event))
    if answer.json["has_more"]:
        api.done(f"There are more: add --after {answer.json['next_sequence']}.")
