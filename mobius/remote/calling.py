"""`mobius api`: any other call, for what has no command of its own."""

from __future__ import annotations

from urllib.parse import quote

import click

from mobius.remote.commands import Api, named, over_api, read_file, read_object


@click.command("api")
@click.argument("path")
@click.option("-X", "--method", type=click.Choice(["GET", "POST", "PUT", "PATCH", "DELETE"]), help="Default: GET.")
@click.option("--input", "file", metavar="FILE", help="The request's JSON; - reads it here. Then POST is the default.")
@over_api
def call(api: Api, path: str, method: str | None, file: str | None) -> None:
    """Call any address of the API, and print what it answers. {project} in PATH stands for the project.

    \b
    mobius api '/v1/projects/{project}/audit?limit=5'
    mobius api -X POST '/v1/projects/{project}/webhooks' --input webhook.json
    """
    if not path.startswith("/v1/"):
        raise click.UsageError("PATH begins with /v1/, such as '/v1/projects/{project}/audit'.")
    address = quote(path.replace("{project}", api.client.place.project), safe="/?&=%~!$'()*+,;:@")
    method = method or ("POST" if file else "GET")
    if file and method == "GET":
        raise click.UsageError("A GET carries no --input: leave it away, or choose another -X.")
    body = read_object(read_file(file, "the request"), f"The request in {named(file)}") if file else None
    answer = api.get(address) if method == "GET" else api.write(method, address, body)
    click.echo(answer.text, nl=bool(answer.text))
