"""`mobius deliveries`: every attempt to send a row, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from mobius.remote.commands import Api, Group, over_api, paged
from mobius.remote.printing import JsonObject, moment

STATES = ["sending", "accepted", "refused", "not_sent", "in_doubt", "abandoned"]
DECISIONS = ["arrived", "send_again", "give_up"]


@click.group(cls=Group)
def deliveries() -> None:
    """Deliveries: what became of each row.

    \b
    mobius deliveries list --state in_doubt
    mobius deliveries settle DELIVERY --decision arrived --reason "seen in Clay"
    """


def facts_of(delivery: JsonObject) -> Sequence[tuple[str, Any]]:
    latency = delivery.get("latency_ms")
    return [
        ("delivery", delivery["id"]),
        ("kind", delivery["kind"]),
        ("state", delivery["state"]),
        ("status", delivery.get("status_code")),
        ("failure", delivery.get("failure")),
        ("error", delivery.get("error_message")),
        ("action", delivery["action_name"]),
        ("run", delivery.get("run_id")),
        ("request id", delivery.get("request_id")),
        ("external id", delivery.get("external_id")),
        ("attempt", delivery["attempt"]),
        ("sent", moment(delivery["created_at"])),
        ("took", None if latency is None else f"{latency} ms"),
        ("row", delivery.get("body")),
        ("answer", delivery.get("response")),
    ]


@deliveries.command("list")
@click.option("--state", type=click.Choice(STATES), help="Only these.")
@click.option("--run", "--run-id", "run_id", metavar="RUN", help="Only of this run.")
@click.option("--request-id", metavar="ID", help="Only rows with this request_id.")
@click.option("--external-id", metavar="ID", help="Only rows with this external_id.")
@paged
@over_api
def list_deliveries(api: Api, cursor: str | None, limit: int, **filters: str | None) -> None:
    """List deliveries, newest first."""
    columns = {
        "DELIVERY": lambda one: one["id"],
        "STATE": lambda one: one["state"],
        "STATUS": lambda one: one.get("status_code"),
        "REQUEST ID": lambda one: one.get("request_id"),
        "RUN": lambda one: one.get("run_id"),
        "SENT (UTC)": lambda one: moment(one["created_at"]),
        "ERROR": lambda one: one.get("error_message"),
    }
    answer = api.pages(api.at("deliveries"), limit=limit, cursor=cursor, **filters)
    api.show_list(answer, columns, empty="There are no deliveries.")


@deliveries.command("get")
@click.argument("delivery")
@over_api
def get(api: Api, delivery: str) -> None:
    """Show one delivery, with what was sent and what was answered."""
    api.show(api.get(api.at("deliveries", delivery)), facts_of)


@deliveries.command("settle")
@click.argument("delivery")
@click.option("--decision", required=True, type=click.Choice(DECISIONS), help="What you found in the table.")
@click.option("--reason", required=True, metavar="TEXT", help="How you know; it is kept in the audit.")
@over_api
def settle(api: Api, delivery: str, decision: str, reason: str) -> None:
    """Settle a delivery in doubt, after looking into the table: did the row arrive?

    arrived: it is there. send_again: it is not, and may be sent again. give_up: leave it.
    """
    body = {"decision": decision, "reason": reason}
    api.show(api.write("POST", api.at("deliveries", delivery, "settle"), body), facts_of)
