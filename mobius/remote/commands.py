"""What the commands over the API share: their options, their groups, and how they read what they are given."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from mobius.remote.place import Place, find_place
from mobius.remote.printing import JsonObject, plain, print_facts, print_table
from mobius.remote.troubles import Trouble

INTERRUPTED = 130
_PAGE = 100  # the API's longest (mobius-contract §1)


class Group(click.Group):
    """A group whose commands may have further names, such as those of Mobius's own CLI."""

    def __init__(self, *args: Any, aliases: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.aliases = dict(aliases or {})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, self.aliases.get(cmd_name, cmd_name))


class Api:
    """The console that a command speaks to, and the form in which it prints what comes back."""

    def __init__(self, client: Any, *, as_json: bool) -> None:
        self.client = client
        self.as_json = as_json
        self.at = client.in_project
        self.get, self.write = client.get, client.write

    def show(self, answer: Any, facts: Callable[[JsonObject], Sequence[tuple[str, Any]]]) -> None:
        if self.as_json:
            click.echo(answer.text)
        else:
            print_facts(facts(answer.json))

    def show_list(
        self, answer: Any, columns: Mapping[str, Callable[[JsonObject], Any]], *, empty: str, key: str = "items"
    ) -> None:
        if self.as_json:
            click.echo(answer.text)
            return
        rows = [[cell(item) for cell in columns.values()] for item in answer.json[key]]
        print_table(list(columns), rows, empty=empty)
        if cursor := answer.json.get("next_cursor"):
            self.done(f"There are more: add --cursor {cursor}, or a larger --limit.")

    def pages(self, path: str, *, limit: int, **query: Any) -> Any:
        """A list of at most `limit` items, over as many pages as that takes."""
        answer = self.get(path, query | {"limit": min(limit, _PAGE)})
        whole = dict(answer.json) | {"items": list(answer.json["items"])}
        while len(whole["items"]) < limit and whole.get("next_cursor"):
            left = min(limit - len(whole["items"]), _PAGE)
            more = self.get(path, query | {"limit": left, "cursor": whole.pop("next_cursor")}).json
            whole |= more | {"items": whole["items"] + more["items"]}
            answer = type(answer)(text=json.dumps(whole, ensure_ascii=False), json=whole)
        return answer

    def done(self, sentence: str) -> None:
        """What was done, where the API itself answers nothing."""
        click.echo(plain(sentence), err=True)


def over_api(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command its `Api`, and the options that say which one."""

    @functools.wraps(function)
    def command(
        api_url: str | None, api_key: str | None, project: str | None, output: str, as_json: bool, **given: Any
    ) -> None:
        place = find_place(url=api_url, key=api_key, project=project)
        from mobius.remote.client import Client  # not before it is needed: HTTP and TLS take longer than all the rest

        context = click.get_current_context()
        if os.environ.get("NO_COLOR"):
            context.color = False
        try:
            with _understood(place):
                function(Api(Client(place), as_json=as_json or output == "json"), **given)
        except (KeyboardInterrupt, click.Abort):
            click.echo(err=True)
            context.exit(INTERRUPTED)

    for option in reversed(_WHERE):
        command = option(command)
    return command


@contextmanager
def _understood(place: Place) -> Iterator[None]:
    """Raises Trouble when an answer that is read within is not of the API's shape."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise Trouble(
            f"{place.url} answered with something that this command does not understand.",
            "Is it a Mobius console, and of this version? --json prints the answer as it is.",
        ) from error


_WHERE = [
    click.option("--project", metavar="HANDLE", help="Else MOBIUS_PROJECT, else the key's own, else default."),
    click.option("--api-url", metavar="URL", help="Else MOBIUS_API_URL, else http://127.0.0.1:8000."),
    click.option("--api-key", metavar="KEY", help="Else MOBIUS_API_KEY, which no list of processes shows."),
    click.option(
        "-o", "--output", type=click.Choice(["text", "json"]), default="text", help="For people, or as the API says."
    ),
    click.option("--json", "as_json", is_flag=True, help="The same as -o json."),
]


def paged(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a list."""
    function = click.option("--cursor", metavar="CURSOR", help="Go on where an earlier list ended.")(function)
    limit = click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="At most.")
    return limit(function)


yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


def confirm(question: str, *, yes: bool) -> None:
    """Ask before what cannot be undone. Raises UsageError where nobody can be asked."""
    if yes:
        return
    question = plain(question)
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Nobody can be asked here: add --yes.")
    if not click.confirm(question, err=True):
        click.echo("Nothing was changed.", err=True)
        click.get_current_context().exit(1)


STANDARD_INPUT = "-"


def named(file: str) -> str:
    """A file as messages call it."""
    return "standard input" if file == STANDARD_INPUT else file


def read_file(name: str, what: str, *, first_line: bool = False) -> str:
    """The text of a file, or of standard input for `-`, of which `first_line` alone may do. Raises UsageError."""
    try:
        if name == STANDARD_INPUT:
            return sys.stdin.readline() if first_line else sys.stdin.read()
        return Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"Cannot read {what} from {named(name)}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise click.UsageError(f"Cannot read {what} from {named(name)}: it is not UTF-8 text.") from None


def read_object(text: str, what: str, *, of: type = dict) -> Any:
    """A JSON object from an argument: the JSON itself, `@FILE`, or `@-` for standard input. Raises UsageError.

    `of=list` reads an array.
    """
    if text.startswith("@"):
        text, what = read_file(text[1:], what), f"{what} ({named(text[1:])})"
    try:
        found = json.loads(text)
    except ValueError as error:
        at = (
            f": line {error.lineno}, column {error.colno}: {error.msg}"
            if isinstance(error, json.JSONDecodeError)
            else ""
        )
        raise click.UsageError(f"{what} is not JSON{at}.") from None
    except RecursionError:
        raise click.UsageError(f"{what} is nested too deeply to be read.") from None
    if not isinstance(found, of):
        wanted = 'object, such as {"email": "ada@example.com"}' if of is dict else "array: […]"
        raise click.UsageError(f"{what} must be a JSON {wanted}.")
    return found
