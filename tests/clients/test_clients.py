"""Mobius's Python and npm clients 0.0.61, unmodified, against the real console and a simulated Clay."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.clients.conftest import ClientError, Connect, MobiusClient
from tests.processes.conftest import Console, wait_until

JsonObject = dict[str, Any]

SUBMIT = "clay.webhook.submit"
PUSH: JsonObject = {
    "id": "push",
    "kind": "action",
    "retry": {"max_attempts": 1},
    "config": {
        "action_name": SUBMIT,
        "parameters": {"payload": {"email": "${{ event.email }}"}, "request_id": "${{ meta.run_id }}"},
    },
}
ANSWER: JsonObject = {"id": "answer", "kind": "wait_for_event", "config": {"event_type": "approval"}}
LIFE_OF_A_PUSH = ["run.started", "step.started", "action.called", "action.completed", "step.completed", "run.completed"]


@pytest.fixture
def unique(request: pytest.FixtureRequest) -> str:
    """A name of this test's own, for all of them share a console."""
    return "".join(letter if letter.isalnum() else "-" for letter in request.node.name).strip("-").lower()


@pytest.fixture
def push(client: MobiusClient, unique: str) -> str:
    """A loop that pushes a row."""
    return str(client.create_loop(unique, {"steps": [PUSH]})["id"])


@pytest.fixture
def waiting(client: MobiusClient, unique: str) -> str:
    """A run that waits for a signal."""
    loop = client.create_loop(unique, {"steps": [ANSWER]})
    run = client.start_run(loop["id"])["id"]
    wait_until(lambda: client.get_run(run)["status"] == "suspended")
    return str(run)


def refused(call: Any) -> ClientError:
    with pytest.raises(ClientError) as raised:
        call()
    return raised.value


# --- loops and runs ---


def test_a_loop_with_a_clay_step_is_created_started_streamed_and_waited_for(
    client: MobiusClient, console: Console, unique: str
) -> None:
    loop = client.create_loop(unique, {"steps": [PUSH], "event": {"email": {"type": "string", "required": True}}})
    assert (loop["name"], loop["status"], loop["schema_version"]) == (unique, "active", "1")

    run = client.start_run(loop["id"], event={"email": "ada@example.com"}, meta={"why": "test"}, source={"type": "api"})
    events = client.watch_run(run["id"])
    ended = client.wait_run(run["id"])

    assert run["status"] in ("queued", "running")
    assert [event["event_type"] for event in events] == LIFE_OF_A_PUSH
    assert [event["sequence"] for event in events] == [1, 2, 3, 4, 5, 6]
    assert (ended["status"], ended["stop_reason"]) == ("completed", "completed")
    assert ended["result"]["push"]["request_id"] == run["id"]
    assert console.rows()[run["id"]] == 1


def test_a_stream_goes_on_where_the_client_was(client: MobiusClient, push: str) -> None:
    run = client.start_run(push, event={"email": "a"})["id"]
    client.wait_run(run)

    assert [event["sequence"] for event in client.watch_run(run, since=4)] == [5, 6]


def test_loops_are_listed_read_changed_paused_and_deleted(client: MobiusClient, push: str, unique: str) -> None:
    assert push in [loop["id"] for loop in client.list_loops(status="active", limit=100)["items"]]
    changed = client.update_loop(push, description="Pushes leads.", status="paused")
    assert (changed["description"], changed["status"]) == ("Pushes leads.", "paused")
    assert client.get_loop(push)["steps"][0]["config"]["action_name"] == SUBMIT

    paused = refused(lambda: client.start_run(push))
    assert (paused.status, paused.code) == (409, "loop_paused")
    taken = refused(lambda: client.create_loop(unique, {"steps": [PUSH]}))
    assert (taken.status, taken.code) == (409, "already_exists")

    client.delete_loop(push)
    assert refused(lambda: client.get_loop(push)).status == 404


def test_every_authoring_field_comes_back_as_it_was_given(client: MobiusClient, unique: str) -> None:
    authored = {
        "steps": [PUSH, {"id": "rest", "kind": "sleep", "config": {"duration": "1s"}, "if": "event.email != nil"}],
        "triggers": [{"kind": "manual", "key": "by-hand", "name": "By hand", "enabled": True}],
        "concurrency": "queue",
        "event": {"email": {"type": "string", "description": "Whom to push.", "required": True}},
        "config": {"table": {"type": "string", "default": "leads"}},
        "default_config": {"table": "leads"},
        "output": {"row": "${{ steps.push.output.request_id }}"},
        "limits": {"wall_clock_timeout": "1h", "pause_after_consecutive_failures": 5},
        "run_name": {"template": "Lead ${{ event.email }}"},
        "tags": {"team": "growth"},
    }

    loop = client.create_loop(unique, authored)

    for name, value in authored.items():
        assert loop[name] == value, name


def test_runs_are_listed_and_read_page_by_page(client: MobiusClient, push: str) -> None:
    started = [client.start_run(push, event={"email": "a"})["id"] for _ in range(3)]
    for run in started:
        client.wait_run(run)

    first = client.list_runs(loop_id=push, status="completed", limit=2)
    second = client.list_runs(loop_id=push, status="completed", limit=2, cursor=first["next_cursor"])

    assert [run["id"] for run in first["items"] + second["items"]] == started[::-1]
    assert (first["has_more"], second["has_more"]) == (True, False)
    assert client.list_runs(loop_id=push, status="failed")["items"] == []
    assert client.get_run(started[0])["loop_id"] == push


def test_a_repeated_key_gives_the_same_run_and_conflicts_after_its_end(
    client: MobiusClient, waiting: str, unique: str
) -> None:
    loop = client.get_run(waiting)["loop_id"]
    first = client.start_run(loop, idempotency_key=unique)["id"]
    assert client.start_run(loop, idempotency_key=unique)["id"] == first

    client.cancel_run(first)
    conflict = refused(lambda: client.start_run(loop, idempotency_key=unique))

    assert (conflict.status, conflict.code) == (409, "idempotency_key_conflict")
    assert conflict.details == {"run_id": first, "status": "cancelled"}


def test_a_run_is_cancelled_with_a_reason(client: MobiusClient, waiting: str) -> None:
    cancelled = client.cancel_run(waiting, "a wrong list")

    assert (cancelled["status"], cancelled["stop_reason"]) == ("cancelled", "cancelled")
    assert client.cancel_run(waiting)["status"] == "cancelled"
    assert client.wait_run(waiting)["status"] == "cancelled"


def test_a_waiting_run_is_signalled(client: MobiusClient, waiting: str) -> None:
    client.signal_run(waiting, "answer", {"approved": True})

    assert client.wait_run(waiting)["result"] == {"answer": {"approved": True}}
    late = refused(lambda: client.signal_run(waiting, "answer", {}))
    assert (late.status, late.code) == (400, "bad_request")


@pytest.mark.parametrize("deed", ["retry", "resume"])
def test_a_failed_run_goes_on_from_where_it_failed(
    client: MobiusClient, console: Console, models: MobiusClient, unique: str, deed: str
) -> None:
    parameters = PUSH["config"]["parameters"] | {"integration": unique}
    second = PUSH | {"id": "second", "config": {"action_name": SUBMIT, "parameters": parameters}}
    loop = client.create_loop(unique, {"steps": [PUSH, second]})
    failed = client.wait_run(client.start_run(loop["id"], event={"email": "a"})["id"])
    assert (failed["status"], failed["error_type"]) == ("failed", "not_connected")

    console.connect(name=unique, webhook_url=f"{console.webhook_url}-{unique}"[:120])
    gone_on = console.call("POST", f"{console.root}/runs/{failed['id']}/{deed}", {"reason": "it is connected now"})
    models.check("LoopRun", gone_on)
    ended = client.wait_run(failed["id"])

    assert gone_on["attempt"] == 2
    assert ended["status"] == "completed"
    events = console.call("GET", f"{console.root}/runs/{failed['id']}/events?limit=100")
    models.check("LoopRunEventListResponse", events)
    assert [one["event_type"] for one in events["items"]].count("action.called") == 2, (
        "the first row was not sent again"
    )


def test_steps_have_exactly_the_contract_s_shape(client: MobiusClient, console: Console, push: str) -> None:
    run = client.wait_run(client.start_run(push, event={"email": "ada@example.com"})["id"])

    steps = console.call("GET", f"{console.root}/runs/{run['id']}/steps")

    assert steps["items"][0]["inputs"]["payload"] == {"email": "ada@example.com"}


def test_every_answer_about_a_run_passes_the_strict_models(
    console: Console, models: MobiusClient, push: str, client: MobiusClient
) -> None:
    run = client.wait_run(client.start_run(push, event={"email": "a"})["id"])
    of_run = f"{console.root}/runs/{run['id']}"

    models.check("LoopRun", console.call("GET", of_run))
    models.check("LoopRunStepListResponse", console.call("GET", f"{of_run}/steps"))
    models.check("LoopRunEventListResponse", console.call("GET", f"{of_run}/events"))
    models.check("LoopRunListResponse", console.call("GET", f"{console.root}/runs?limit=2"))
    models.check("LoopListResponse", console.call("GET", f"{console.root}/loops"))


def test_a_wait_rides_through_a_restart_of_the_console(
    client: MobiusClient, console: Console, connect: Connect, command: list[str], waiting: str
) -> None:
    patient = connect(command, retry=3)
    ended: list[JsonObject] = []
    thread = threading.Thread(target=lambda: ended.append(patient.wait_run(waiting)))
    thread.start()
    console.call("GET", f"{console.root}/runs/{waiting}")

    code, seconds = console.stop_console()
    console.start_console()
    client.signal_run(waiting, "answer", {"after": "the restart"})
    thread.join(60)

    assert code == 0
    assert seconds < 10
    assert ended[0]["result"] == {"answer": {"after": "the restart"}}


# --- actions ---


def test_the_catalog_and_a_direct_call_pass_the_strict_models(
    client: MobiusClient, console: Console, models: MobiusClient, unique: str
) -> None:
    catalog = console.call("GET", f"{console.root}/catalog/actions")
    models.check("ActionCatalogListResponse", catalog)
    models.check("ActionCatalogEntry", console.call("GET", f"{console.root}/catalog/actions/{SUBMIT}"))
    row = {"payload": {"email": "ada@example.com"}, "request_id": unique}

    called = console.call("POST", f"{console.root}/actions/{SUBMIT}/invoke", {"input": row, "timeout_seconds": 20})
    models.check("ActionInvocationResult", called)

    assert called["status"] == "completed"
    assert console.rows()[unique] == 1


def test_invocations_are_listed_by_run_and_by_action(client: MobiusClient, console: Console, push: str) -> None:
    run = client.wait_run(client.start_run(push, event={"email": "a"})["id"])
    console.call("POST", f"{console.root}/actions/{SUBMIT}/invoke", {"input": {"payload": {"email": "b"}}})

    (by_run,) = client.list_action_invocations(run_id=run["id"])["items"]
    newest = client.list_action_invocations(action_name=SUBMIT, limit=1)

    assert (by_run["source"], by_run["status"], by_run["http_status"]) == ("loop", "success", 200)
    assert by_run["loop_id"] == push
    assert (newest["items"][0]["source"], newest["has_more"]) == ("direct", True)
    assert newest["items"][0]["actor_principal_id"].startswith("svc_")


# --- keys, principals, projects ---


def test_a_key_is_made_used_and_revoked(
    client: MobiusClient, console: Console, connect: Connect, command: list[str], models: MobiusClient, unique: str
) -> None:
    principal = client.create_principal(name=unique, role_ids=["viewer"])
    made = console.call("POST", f"{console.root}/api-keys", {"name": unique, "principal_id": principal["id"]})
    models.check("APIKeyCreateResult", made)
    models.check("APIKey", console.call("GET", f"{console.root}/api-keys/{made['id']}"))
    models.check("APIKeyListResponse", console.call("GET", f"{console.root}/api-keys"))

    viewer = connect(command, api_key=f"{made['key']}.bench", project="default")
    assert viewer.list_loops(limit=1)["items"]
    low = refused(lambda: viewer.create_loop(f"{unique}-2", {"steps": [PUSH]}))
    assert (low.status, low.code) == (403, "permission_denied")

    console.call("DELETE", f"{console.root}/api-keys/{made['id']}")
    assert refused(lambda: viewer.list_loops()).type == "AuthRevokedError"


def test_a_principal_is_made_disabled_enabled_and_deleted(
    client: MobiusClient, console: Console, connect: Connect, command: list[str], unique: str
) -> None:
    principal = client.create_principal(name=unique, description="A robot.", metadata={"a": 1}, tags={"team": "x"})
    assert (principal["kind"], principal["state"], principal["metadata"]) == ("service", "active", {"a": 1})
    wanted = {"name": unique, "principal_id": principal["id"], "scope_role_id": "viewer"}
    key = console.call("POST", f"{console.root}/api-keys", wanted)
    robot = connect(command, api_key=key["key"])

    client.update_principal(principal["id"], state="disabled")
    assert refused(lambda: robot.list_loops()).type == "AuthRevokedError"
    assert principal["id"] not in [one["id"] for one in client.list_principals(limit=100)["items"]]
    everybody = client.list_principals(include_disabled=True, kind="service", limit=100)["items"]
    assert principal["id"] in [one["id"] for one in everybody]
    client.update_principal(principal["id"], state="active")
    assert robot.list_loops(limit=1)["items"]

    assert refused(lambda: client.delete_principal(principal["id"])).status == 409
    console.call("DELETE", f"{console.root}/api-keys/{key['id']}")
    client.delete_principal(principal["id"])
    assert client.get_principal(principal["id"])["state"] == "deleted"


def test_a_project_is_made_adopted_used_and_deleted(
    client: MobiusClient, console: Console, connect: Connect, command: list[str], models: MobiusClient, unique: str
) -> None:
    made = client.create_project(name="A customer", handle=unique[:60].strip("-"), external_ref=unique, tags={"t": "1"})
    again = client.create_project(name="Whatever", adopt=True, external_ref=unique)
    assert again == made
    other = refused(lambda: client.create_project(name="X", handle="another", adopt=True, external_ref=unique))
    assert (other.status, other.code) == (409, "external_identity_conflict")
    taken = refused(lambda: client.create_project(name="A customer", handle=made["handle"]))
    assert (taken.status, taken.code) == (409, "already_exists")

    inside = connect(command, project=made["handle"])
    loop = inside.create_loop(unique, {"steps": [ANSWER]})
    run = inside.start_run(loop["id"])
    assert inside.get_run(run["id"])["loop_id"] == loop["id"]
    assert refused(lambda: client.get_run(run["id"])).status == 404, "it is another project"

    root = f"/v1/projects/{made['handle']}"
    models.check("ProjectListResponse", console.call("GET", f"/v1/projects?search={made['handle']}"))
    models.check("Project", console.call("PATCH", root, {"description": "Renamed.", "tags": {}}))
    models.check("ProjectCapabilities", console.call("GET", f"{root}/capabilities"))
    console.call("DELETE", root)
    assert refused(lambda: inside.list_loops()).status == 404


# --- errors ---


def test_an_error_carries_its_code_and_the_request_s_id(client: MobiusClient) -> None:
    missing = refused(lambda: client.get_run("run_none"))

    assert (missing.type, missing.status, missing.code) == ("MobiusAPIError", 404, "not_found")
    assert missing.message == "There is no such run."
    assert missing.request_id.startswith("req_")


def test_a_bad_loop_is_told_with_its_places(client: MobiusClient, unique: str) -> None:
    step = PUSH | {"config": PUSH["config"] | {"action_name": "clay.nothing"}}

    bad = refused(lambda: client.create_loop(unique, {"steps": [step]}))

    assert (bad.status, bad.code) == (400, "bad_request")
    assert list(bad.details["fields"]) == ["steps[0].config.action_name"]
