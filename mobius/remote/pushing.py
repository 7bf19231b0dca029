"""`mobius clay push`: a file of rows goes to a table, each row once, with a progress bar."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from mobius.remote.commands import Api, confirm, over_api, yes_option
from mobius.remote.printing import JsonObject, plain
from mobius.remote.troubles import Trouble, Unreachable
from mobius.timespans import rough

UPLOAD_SECONDS = 300.0
"""A large file is read and checked row by row before the console answers."""

_LOOKS_EVERY_SECONDS = 1.0
_GIVES_UP_SECONDS = 300.0
"""For so long the console may be away, such as for a restart; the push goes on by itself meanwhile."""
_ENDED = ("completed", "cancelled")
_OPEN = ("waiting", "started")
_NOT_ARRIVED = ("left_out", "failed", "not_sent")
_FAILED = 1
_WORDS = {
    "unreadable": "could not be read",
    "too_large": "larger than the table takes",
    "refused": "cannot be sent as they are",
    "no_request_id": "without a request_id",
    "twice_in_the_file": "with a request_id that an earlier row of the file has",
    "sent_before": "sent before, exactly as they are",
    "other_content": "sent although another row went out under their request_id before",
}


@click.command("push")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--integration", default="clay", show_default=True, metavar="NAME", help="Whose table gets the rows.")
@click.option("--request-id", metavar="COLUMN", help="What tells a row from all others; default: request_id, if any.")
@click.option("--external-id", metavar="COLUMN", help="Your own id; default: external_id, if there is such a column.")
@click.option("--key", "keys", multiple=True, metavar="COLUMN=KEY", help="Send a column under another key.")
@click.option("--leave-out", multiple=True, metavar="COLUMN", help="Do not send this column.")
@click.option("--dry-run", is_flag=True, help="Say what would happen, and send nothing.")
@click.option(
    "--failed", type=click.Path(path_type=Path, dir_okay=False), help="Save what did not arrive as this file."
)
@click.option("--no-wait", is_flag=True, help="Start it and come back; the console goes on by itself.")
@yes_option
@over_api
def push(
    api: Api,
    file: Path,
    integration: str,
    request_id: str | None,
    external_id: str | None,
    keys: Sequence[str],
    leave_out: Sequence[str],
    dry_run: bool,
    failed: Path | None,
    no_wait: bool,
    yes: bool,
) -> None:
    """Push a CSV or JSON Lines file into a table: each row once, at the pace, within the budget.

    Shows first what would happen to every row, and asks. The console does the work: it survives a restart, and this
    command may be stopped with Ctrl-C. Exit code 1: some rows did not arrive, or are in doubt.

    \b
    mobius clay push leads.csv --request-id Email
    mobius clay push leads.csv --dry-run
    mobius clay push leads.jsonl --yes --failed not-arrived.jsonl
    """
    _check_place(failed, file)
    wanted: JsonObject = {"keys": _keys(keys) | dict.fromkeys(leave_out)}
    wanted |= {name: text for name, text in (("request_id", request_id), ("external_id", external_id)) if text}
    uploaded = _upload(api, file, integration)
    with _discarded_unless_kept(api, uploaded["id"]) as keep:
        checked = api.write("POST", api.at("pushes", uploaded["id"], "check"), wanted, seconds=UPLOAD_SECONDS)
        _report(checked.json)
        ready = checked.json["check"]["ready"]
        if dry_run and api.as_json:
            click.echo(checked.text)
        if dry_run or not ready:
            click.get_current_context().exit(0 if ready else _FAILED)
        confirm(f"Push {ready:,} rows to {integration}?", yes=yes)
        keep()
    begun = api.write("POST", api.at("pushes", uploaded["id"], "start"))
    if no_wait:
        api.done(f"Started: {uploaded['id']}. The console goes on by itself.")
        return
    ended = _watch(api, begun.json)
    if api.as_json:
        click.echo(ended.text)
    if failed:
        _save(api, uploaded["id"], failed)
    _conclude(api, ended.json)


def _check_place(failed: Path | None, file: Path) -> None:
    """Before anything is sent: afterwards it would be too late to say that it cannot be saved there."""
    if failed is None:
        return
    if failed.resolve() == file.resolve():
        raise click.UsageError("--failed would overwrite the file that is pushed: name another one.")
    if not failed.resolve().parent.is_dir():
        raise click.UsageError(f"--failed {failed}: there is no such folder.")
    try:
        is_new = not failed.exists()
        if is_new or failed.is_file():  # a pipe would take the trial for the end
            failed.open("ab").close()
        if is_new:
            failed.unlink()
    except OSError as error:
        raise click.UsageError(f"--failed {failed} cannot be written: {error.strerror}.") from None


def _save(api: Api, push_id: str, failed: Path) -> None:
    try:
        with failed.open("wb") as to:
            to.writelines(api.client.pieces(api.at("pushes", push_id, "failed")))
    except OSError as error:
        raise Trouble(
            f"The push has ended, but {failed} could not be written: {error.strerror}.",
            f"What did not arrive is still on the page of {push_id} in the console.",
        ) from None


def _upload(api: Api, file: Path, integration: str) -> JsonObject:
    query = {"integration": integration, "name": file.name}
    with file.open("rb") as content:
        made: JsonObject = api.client.upload(api.at("pushes"), query, content, seconds=UPLOAD_SECONDS).json
    return made


@contextmanager
def _discarded_unless_kept(api: Api, push_id: str) -> Iterator[Callable[[], None]]:
    """A push that is not to be started would hold a copy of the file for nothing."""
    kept: list[bool] = []
    try:
        yield lambda: kept.append(True)
    finally:
        if not kept:
            try:
                api.write("POST", api.at("pushes", push_id, "cancel"))
            except Trouble as trouble:
                click.echo(f"The push {push_id} could not be discarded: {trouble.lines[0]}", err=True)


def _keys(given: Sequence[str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for pair in given:
        column, equals, key = pair.rpartition("=")
        if not (column and equals and key):
            raise click.UsageError(f"Write --key as COLUMN=KEY, not {pair}.")
        found[column] = key
    return found


def _report(checked: JsonObject) -> None:
    """What the dry run found, on standard error."""
    found = checked["check"]
    forecast = checked.get("forecast", {}) if found["ready"] else {}
    lines = [f"{checked['rows']:,} rows, read as {checked['read_as']}.", f"{found['ready']:,} can be sent."]
    for kind, words in _WORDS.items():
        if reason := found["reasons"].get(kind):
            lines.append(f"{reason['count']:,} {words}:")
            lines += [f"  line {one['line']:,}: {one['reason']}" for one in reason["examples"]]
    if not checked["request_id"]:
        lines.append("No column is the request_id: should the file be pushed twice, every row is sent twice.")
    if forecast.get("over_budget"):
        lines.append(f"The webhook's budget is {forecast['over_budget']:,} rows short.")
    elif (left := (forecast.get("usage") or {}).get("left")) is not None:
        lines.append(f"Sending them uses {found['ready']:,} of the {left:,} submissions that are left.")
    if forecast.get("seconds") is not None:
        lines.append(
            f"About {rough(timedelta(seconds=forecast['seconds']))} at {forecast['rate_per_second']:g} rows a second."
        )
    for line in lines:
        click.echo(plain(line), err=True)


def _watch(api: Api, push: JsonObject) -> Any:
    """Show how far it is until it ends, pauses, or only waits for a person. Gives the last answer."""
    with _bar(push["check"]["ready"]) as bar, _said_that_it_goes_on(push["id"]):
        shown = 0
        for answer in _answers(api, push["id"]):
            counts = answer.json["counts"]
            done = sum(counts.values()) - counts.get("left_out", 0) - sum(counts.get(state, 0) for state in _OPEN)
            bar.update(done - shown, _tail(answer.json))
            shown = done
            settled = not any(counts.get(state) for state in _OPEN)
            if answer.json["state"] in (*_ENDED, "paused") or settled:
                return answer
    raise AssertionError("the answers never end by themselves")


def _answers(api: Api, push_id: str) -> Iterator[Any]:
    """What the console says of the push, again and again; it may be away for a while."""
    heard_at = time.monotonic()
    while True:
        try:
            yield api.get(api.at("pushes", push_id))
            heard_at = time.monotonic()
        except Trouble as trouble:
            is_away = trouble.passes or isinstance(trouble, Unreachable)
            if not is_away or time.monotonic() - heard_at > _GIVES_UP_SECONDS:
                raise
        time.sleep(_LOOKS_EVERY_SECONDS)


@contextmanager
def _said_that_it_goes_on(push_id: str) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, Trouble):
        click.echo(f"\nThe push goes on by itself: {push_id}", err=True)
        raise


def _bar(total: int) -> Any:
    return click.progressbar(
        length=total, label="Pushing", item_show_func=lambda text: text or "", show_pos=True, file=sys.stderr
    )


def _tail(push: JsonObject) -> str:
    counts, left = push["counts"], push.get("seconds_left")
    words = (("failed", "failed"), ("in_doubt", "in doubt"))
    bad = [f"{counts[state]:,} {word}" for state, word in words if counts.get(state)]
    return ", ".join([*bad, *([f"about {rough(timedelta(seconds=left))} left"] if left is not None else [])])


def _conclude(api: Api, push: JsonObject) -> None:
    """The last lines, and the exit code."""
    counts: dict[str, int] = push["counts"]
    told = [f"{number:,} {state.replace('_', ' ')}" for state, number in sorted(counts.items())]
    api.done(f"{', '.join(told)} ({push['id']})")
    if push["state"] == "paused":
        api.done(f"It is paused. {push.get('paused_because', '')} Go on with it on its page in the console.")
    if counts.get("in_doubt"):
        api.done(
            "Rows in doubt may have arrived: look in the table and settle their deliveries; do not push them again."
        )
    if push["state"] == "paused" or any(counts.get(state) for state in (*_NOT_ARRIVED, "in_doubt")):
        click.get_current_context().exit(_FAILED)
