"""The `mobius` command."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from mobius.remote import calling, deliveries, integrations, keys, loops, projects, pushing, runs
from mobius.remote.commands import Group

OVER_API = (
    *(loops.loops, runs.runs, integrations.integrations, deliveries.deliveries),
    *(keys.keys, projects.projects, calling.call),
)


class Main(Group):
    """Shows apart what runs here and what speaks to a console anywhere."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        every = [command for name in self.list_commands(ctx) if (command := self.get_command(ctx, name))]
        here = [command for command in every if command not in OVER_API and not command.hidden]
        for title, commands in (
            ("On the console's machine", here),
            ("Over the API, from anywhere (MOBIUS_API_URL, MOBIUS_API_KEY, MOBIUS_PROJECT)", OVER_API),
        ):
            with formatter.section(title):
                formatter.write_dl([(command.name or "", command.get_short_help_str(60)) for command in commands])


@click.group(
    cls=Main,
    # Mobius's own CLI calls them so.
    aliases={"api-keys": "keys", "loop": "loops", "run": "runs", "integration": "integrations"},
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name=None, version="0.1.0", prog_name="mobius")
def main() -> None:
    """Mobius console: every row reaches Clay once, at Clay's pace, within Clay's budget.

    Start with: python3 -m mobius serve --demo
    """


for command in OVER_API:
    main.add_command(command)


def data_directory() -> Path:
    return Path(os.environ.get("MOBIUS_DATA_DIR") or Path(__file__).resolve().parent.parent / "var").absolute()


def start_django() -> None:
    """Load settings and apps; whatever is wrong with the configuration becomes one sentence."""
    import django
    from django.core.exceptions import ImproperlyConfigured

    from mobius.redacting import redact_tracebacks

    redact_tracebacks()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mobius.settings")
    try:
        django.setup()
    except ImproperlyConfigured as error:
        raise click.ClickException(f"{error}") from None


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option("--demo", is_flag=True, help="Add a project with a simulated Clay table and a run that went there.")
def serve(host: str, port: int, demo: bool) -> None:
    """Run the console: web, workers and clock in one process. On PostgreSQL others may run beside it."""
    from mobius.commands.serve import run

    run(host=host, port=port, demo=demo)


@main.command()
def work() -> None:
    """Run a worker of the distributed engine: as many as you like, on any machine that reaches the database."""
    from mobius.commands.work import run

    run()


@main.command()
def check() -> None:
    """Say what is wrong with the configuration, the keys or the database, and what to do."""
    from mobius.commands.check import run

    run()


@main.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--include-key", is_flag=True, help="Also the encryption key: then the file alone opens every secret.")
def backup(file: Path, include_key: bool) -> None:
    """Write the database to FILE, also while the console works. Overwrites nothing."""
    from mobius.commands.backup import run

    run(file=file, include_key=include_key)


@main.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def restore(file: Path) -> None:
    """Put the backup FILE into an empty data directory or database. Nothing is sent until somebody resumes it."""
    from mobius.commands.restore import run

    run(file=file)


@main.command()
@click.option("--days", type=click.IntRange(1), help="Keep the bodies of so many days. Default: MOBIUS_RETENTION_DAYS.")
def purge(days: int | None) -> None:
    """Blank the bodies of old deliveries, runs and callbacks. Their log, the counts and the ledger stay."""
    from mobius.commands.purge import run

    run(days=days)


@main.group()
def secrets() -> None:
    """What is stored encrypted."""


@secrets.command("rotate")
@click.option("--forget-unreadable", is_flag=True, help="The old key is lost: erase what nobody can read any more.")
def secrets_rotate(forget_unreadable: bool) -> None:
    """Encrypt every secret under a new key, also while the console runs.

    First put the new key before the old one (FIELD_ENCRYPTION_KEY=new,old) and restart every process; then run this;
    then take the old key away. It can be stopped and started again at any point.
    """
    from mobius.commands.secrets import rotate

    rotate(forget_unreadable=forget_unreadable)


@secrets.command("new-key")
def secrets_new_key() -> None:
    """Make a key for FIELD_ENCRYPTION_KEY and print it, alone, on standard output. It is stored nowhere."""
    from cryptography.fernet import Fernet

    click.echo(Fernet.generate_key().decode())


@main.group()
def project() -> None:
    """Projects."""


@project.command("create")
@click.argument("handle")
@click.option("--name", default="", help="For people; the handle when absent.")
def project_create(handle: str, name: str) -> None:
    """Make a project. HANDLE is in all its addresses and never changes."""
    start_django()
    from mobius.commands.making import make_project

    click.echo(make_project(handle=handle, name=name or handle))


@main.group()
def key() -> None:
    """API keys."""


@key.command("create")
@click.option("--project", "handle", required=True, help="The project's handle.")
@click.option("--name", required=True, help="What the key is for.")
@click.option("--role", required=True, type=click.Choice(["viewer", "operator", "admin", "run", "callback"]))
def key_create(handle: str, name: str, role: str) -> None:
    """Make an API key and print it, alone, on standard output. It is shown this once."""
    start_django()
    from mobius.commands.making import make_key

    click.echo(make_key(handle=handle, name=name, role=role))


@main.group()
def user() -> None:
    """People who sign in."""


@user.command("create")
@click.argument("name")
@click.option("--password-stdin", is_flag=True, required=True, help="Read the password from standard input.")
@click.option("--project", "handle", help="Make the person a member of this project.")
@click.option("--role", type=click.Choice(["viewer", "operator", "admin"]), help="The member's role there.")
@click.option("--support", "support", flag_value="Support", help="May read Django admin (group Support).")
@click.option("--support-lead", "support", flag_value="Support lead", help="May also act there (group Support lead).")
@click.option("--superuser", is_flag=True, help="May do everything.")
def user_create(
    name: str, password_stdin: bool, handle: str | None, role: str | None, support: str | None, superuser: bool
) -> None:
    """Make a person's account."""
    if bool(handle) != bool(role):
        raise click.UsageError("Give --project and --role together.")
    start_django()
    from mobius.commands.making import make_user

    password = sys.stdin.readline().rstrip("\r\n")
    click.echo(make_user(name=name, password=password, handle=handle, role=role, support=support, superuser=superuser))


@main.group()
def clay() -> None:
    """Clay."""


@clay.command("simulate")
@click.option("--port", default=9001, show_default=True, type=click.IntRange(0, 65535), help="0: any free port.")
@click.option("--token", default="", help="Demand this x-clay-webhook-auth.")
@click.option("--limit", default=50_000, show_default=True, help="Rows for life.")
@click.option("--unpaced", is_flag=True, help="Take rows at any pace.")
@click.option("--answer", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--callbacks", is_flag=True, help="Call back to each row's callback_url.")
@click.option("--callback-delay", default=1.0, show_default=True, help="Seconds until it calls back.")
@click.option("--slow", default=0.0, help="Seconds before every answer.")
@click.option("--drip", default=0.0, help="Seconds between the bytes of every answer.")
@click.option("--fail", type=click.IntRange(200, 599), help="Answer every row with this status.")
@click.option("--reset", is_flag=True, help="Read every row and close without an answer.")
@click.option("--trouble", type=click.FloatRange(0, 1), default=0.0, help="Share of rows that meet a fault or a delay.")
@click.option("--seed", default=0, help="Of the dice behind --trouble.")
@click.option("--log", type=click.Path(path_type=Path), help="Append every accepted row to this file.")
def clay_simulate(port: int, **switches: object) -> None:
    """Behave as a Clay table's webhook does, on this machine."""
    from integrations.providers.clay.simulator import simulate

    simulate(port=port, **switches)  # type: ignore[arg-type]  # click has checked the types


clay.add_command(pushing.push)


def add_bench() -> None:
    from mobius.bench.commands import bench

    main.add_command(bench)


add_bench()

if __name__ == "__main__":
    main(prog_name="python3 -m mobius")
