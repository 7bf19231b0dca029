"""The pages of runs: the list, and why one run is where it is."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from integrations.connecting import connect
from integrations.models import Attempt, AttemptState, Integration, IntegrationStatus, Webhook
from integrations.providers.clay.simulated_endpoint import Behaviour
from integrations.providers.clay.simulator import ClaySimulator
from integrations.providers.contract import Connection
from integrations.providers.registry import get_provider
from loops.authoring import create_loop
from loops.callbacks import receive_by_request_id
from loops.models import Loop, Run, RunStatus, Step, StepStatus
from loops.starting import Start, start_run
from mobius import clock
from mobius.commands.demo import LOOP as ENRICH_LEAD
from mobius.projects.models import Project
from tests.cast import PUSH_LEADS, work_off

pytestmark = pytest.mark.django_db

RUNS = "/projects/platform/operate/runs/"
EVIL = "<script>alert(1)</script>\u202e\u200f"


@pytest.fixture
def viewer(client: Client, vera: User) -> Client:
    client.force_login(vera)
    return client


@pytest.fixture
def enrich_lead(project: Project) -> Loop:
    return create_loop(project=project, authored=ENRICH_LEAD)


def text(response: Any) -> str:
    return str(response.content.decode())


def begin(loop: Loop, key: str = "", **event: Any) -> Run:
    start = Start(event={"email": "ada@example.com"} | event, meta={}, config={}, source={}, idempotency_key=key)
    return start_run(loop=loop, start=start).run


def ran(loop: Loop, **event: Any) -> Run:
    run = begin(loop, **event)
    work_off()
    return Run.objects.get(pk=run.pk)


def page(client: Client, run: Run) -> str:
    return text(client.get(f"{RUNS}{run.pk}/"))


def why(client: Client, run: Run) -> str:
    """The words that say why the run is where it is, and what to do."""
    part = client.get(f"{RUNS}{run.pk}/").context["part"]["why"].content
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", "", part))).strip()


# --- who gets in -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "{run}/", "{run}/live/"])
def test_strangers_find_nothing_and_the_anonymous_are_asked_to_sign_in(
    client: Client, charlie: User, push_leads: Loop, path: str
) -> None:
    address = RUNS + path.format(run=begin(push_leads).pk)
    assert client.get(address).headers["Location"].startswith("/login/")

    client.force_login(charlie)

    assert client.get(address).status_code == 404


def test_a_run_of_another_project_is_not_found_under_ours(viewer: Client, other_project: Project) -> None:
    theirs = begin(create_loop(project=other_project, authored=PUSH_LEADS), key="theirs")

    assert viewer.get(f"{RUNS}{theirs.pk}/").status_code == 404
    assert viewer.get(f"{RUNS}{theirs.pk}/live/").status_code == 404
    for wanted in (theirs.pk, "theirs"):
        assert "No run fits" in text(viewer.get(RUNS, {"q": wanted}))


def test_nothing_is_changed_by_posting(viewer: Client, push_leads: Loop) -> None:
    assert viewer.post(RUNS).status_code == 405
    assert viewer.post(f"{RUNS}{begin(push_leads).pk}/").status_code == 405


# --- the list --------------------------------------------------------------------------------------------------------


def test_two_hundred_runs_are_paged_by_key_with_few_questions(
    viewer: Client, integration: Integration, push_leads: Loop
) -> None:
    runs = [begin(push_leads) for _ in range(200)]
    Run.objects.filter(pk__in=[run.pk for run in runs[:150]]).update(status=RunStatus.SUSPENDED)

    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        with CaptureQueriesContext(connection) as asked:
            response = viewer.get(RUNS, cursor)
        assert len(asked) <= 12
        assert not any("OFFSET" in query["sql"] for query in asked)
        assert all("LIMIT 1001" in query["sql"] for query in asked if "COUNT(" in query["sql"])
        seen += [one.run.pk for one in response.context["runs"]]
        if not response.context["page"].has_more:
            break
        cursor = {"cursor": response.context["page"].next_cursor}

    assert seen == [run.pk for run in reversed(runs)]


def test_the_list_is_filtered_by_status_and_loop_in_the_address(
    viewer: Client, push_leads: Loop, enrich_lead: Loop
) -> None:
    pushed, enriched = begin(push_leads), begin(enrich_lead)
    Run.objects.filter(pk=pushed.pk).update(status=RunStatus.FAILED, error_message="No luck.")

    def found(**query: str) -> list[str]:
        return [one.run.pk for one in viewer.get(RUNS, query).context["runs"]]

    assert found(status="failed") == [pushed.pk]
    assert found(loop=enrich_lead.pk) == [enriched.pk]
    assert found(loop=enrich_lead.pk, status="failed") == []
    assert found(status="no such status") == [enriched.pk, pushed.pk]
    assert '<a href="?status=failed" aria-current="true">' in text(viewer.get(RUNS, {"status": "failed"}))
    assert "No luck." in text(viewer.get(RUNS))


def test_a_run_is_found_by_its_id_its_key_and_its_request_id(
    viewer: Client, integration: Integration, project: Project
) -> None:
    step = PUSH_LEADS["steps"][0]
    parameters = step["config"]["parameters"] | {"request_id": "${{ event.lead }}"}
    authored = PUSH_LEADS | {"steps": [step | {"config": step["config"] | {"parameters": parameters}}]}
    loop = create_loop(project=project, authored=authored)
    wanted, _ = begin(loop, key="row:1", lead="lead_1"), begin(loop, key="row:2", lead="lead_2")
    work_off()

    for text_typed in (wanted.pk, "row:1", " lead_1 "):
        assert [one.run.pk for one in viewer.get(RUNS, {"q": text_typed}).context["runs"]] == [wanted.pk]
    for text_typed in ("lead", "%", "x" * 1_000_000, "' OR 1=1 --"):
        assert viewer.get(RUNS, {"q": text_typed}).context["runs"] == []
    assert viewer.get(RUNS, {"q": "\x00"}).status_code == 400  # no page takes a NUL in its query


def test_a_search_reads_indexes_only(viewer: Client, push_leads: Loop) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("reads SQLite's plan")
    project = push_leads.project
    looked_up = {
        "one_run_per_idempotency_key": Run.objects.of_project(project).holding_key("k"),
        "attempts_by_request_id": Attempt.objects.of_project(project).sent_under("k"),
        "attempts_by_external_id": Attempt.objects.of_project(project).sent_for("k"),
        "callbacks_by_request_id": project.callbacks.known_as("k"),
    }

    for index, queryset in looked_up.items():
        assert index in queryset.explain()


def test_the_list_says_why_a_run_waits(
    viewer: Client, integration: Integration, clay: ClaySimulator, push_leads: Loop, enrich_lead: Loop
) -> None:
    clay.next_answers(Behaviour(reset=True))
    ran(push_leads)
    ran(enrich_lead)

    listed = viewer.get(RUNS).context["runs"]

    assert [(one.reason, one.message[:24]) for one in listed] == [
        ("", "Waits for a callback or "),
        ("delivery_in_doubt", "The row was sent, but no"),
    ]
    assert "In doubt" in text(viewer.get(RUNS))


def test_a_bad_cursor_is_a_bad_request(viewer: Client) -> None:
    assert viewer.get(RUNS, {"cursor": "%%%"}).status_code == 400
    assert viewer.get(RUNS, {"limit": "0"}).status_code == 400


def test_an_empty_list_tells_a_viewer_who_does_the_next_step(viewer: Client) -> None:
    page = text(viewer.get(RUNS))

    assert "No run yet" in page
    assert "An admin of this project connects one" in page


# --- why a run is where it is ----------------------------------------------------------------------------------------


def test_every_state_has_its_sentence(
    viewer: Client, integration: Integration, clay: ClaySimulator, push_leads: Loop, enrich_lead: Loop
) -> None:
    queued = begin(push_leads)
    assert "waits for a free worker" in why(viewer, queued)

    completed = ran(push_leads)
    assert "Every step has ended well." in why(viewer, completed)

    clay.next_answers(Behaviour(fail=401))
    refused = why(viewer, ran(push_leads))
    assert "The step “push” failed. Clay answered 401. The token is missing or wrong." in refused

    clay.next_answers(Behaviour(reset=True))
    doubtful = ran(push_leads)
    assert f"Look for the request_id {doubtful.pk} in the Clay table." in why(viewer, doubtful)

    clay.next_answers(Behaviour(fail=503))
    failed = why(viewer, ran(push_leads))
    assert "Clay answered 503" in failed
    assert "Look for the request_id" in failed

    waiting = why(viewer, ran(enrich_lead))
    assert "waits for Clay to post its results back. It gives up at" in waiting
    assert "let the table's last HTTP API column post to the row's callback_url" in waiting


def test_a_run_that_waits_for_the_integration_says_where_to_go(
    viewer: Client, integration: Integration, push_leads: Loop
) -> None:
    Integration.objects.update(status=IntegrationStatus.INACTIVE)

    reason = why(viewer, ran(push_leads))

    assert "The integration clay is paused" in reason
    assert "What to do: Resume the integration" in reason
    assert 'href="/projects/platform/govern/integrations/"' in page(viewer, Run.objects.get())


def test_a_run_at_the_limit_asks_for_a_new_webhook(viewer: Client, integration: Integration, push_leads: Loop) -> None:
    Webhook.objects.update(submission_limit=1, used=1)
    said = why(viewer, ran(push_leads))
    assert "and connect its URL. What to do: Once rows have a webhook that takes them, retry the run." in said

    Integration.objects.update(wait_at_limit=True)
    assert "the row then goes out by itself" in why(viewer, ran(push_leads))


def test_a_run_without_a_connection_says_what_to_do(viewer: Client, push_leads: Loop) -> None:
    assert "Connect the integration, then retry the run." in why(viewer, ran(push_leads))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"error_type": "paced"}, "The row waits for its turn"),
        ({"error_type": "retrying", "error_message": "Clay answered 429."}, "The last attempt failed. Clay answered"),
        ({"error_type": "same_row", "error_message": "run_x sends it."}, "run_x sends it."),
        ({"error_type": "at_limit"}, "the row waits for those that are on their way"),
        ({"error_type": "", "kind": "sleep"}, "It sleeps. It goes on at"),
        ({"error_type": "something new"}, "It waits for"),
        ({"status": StepStatus.RUNNING}, "It was set aside for a moment"),
    ],
)
def test_every_reason_to_wait_has_its_sentence(
    viewer: Client, integration: Integration, enrich_lead: Loop, changes: dict[str, str], sentence: str
) -> None:
    run = ran(enrich_lead)
    Run.objects.update(wake_at=clock.now())
    Step.objects.filter(run=run, key="answer").update(**changes)
    if changes.get("error_type") == "something new":
        sentence = "the run waits for Clay"

    assert sentence in why(viewer, run)


def test_a_cancelled_run_says_what_became_of_its_row(
    viewer: Client, integration: Integration, push_leads: Loop
) -> None:
    run = ran(push_leads)
    Run.objects.update(status=RunStatus.CANCELLED)
    assert "A row was created in the table before that." in why(viewer, run)

    Attempt.objects.update(state=AttemptState.SENDING)
    assert "A row may have been created in the table." in why(viewer, run)

    Attempt.objects.update(state=AttemptState.IN_DOUBT)
    assert f"What to do: Look for the request_id {run.pk} in the Clay table." in why(viewer, run)


@pytest.mark.parametrize("code", ["conflict", "secret_unreadable", "something_new"])
def test_whatever_failed_there_is_one_thing_to_do(
    viewer: Client, integration: Integration, push_leads: Loop, code: str
) -> None:
    run = ran(push_leads)
    Run.objects.update(status=RunStatus.FAILED, error_type=code, error_message="It broke.")

    assert re.search("It broke.*What to do: .+ retry the run", why(viewer, run))


def test_a_running_run_says_what_it_does(viewer: Client, integration: Integration, push_leads: Loop) -> None:
    run = ran(push_leads)
    Run.objects.update(status=RunStatus.RUNNING)
    assert why(viewer, run) == "It has begun."

    Step.objects.update(status=StepStatus.RUNNING)
    assert why(viewer, run) == "The step “push” is being worked on."

    Attempt.objects.update(state=AttemptState.SENDING)
    assert "A row is on its way" in why(viewer, run)


# --- the page --------------------------------------------------------------------------------------------------------


def test_steps_stand_in_order_with_those_still_to_come(
    viewer: Client, integration: Integration, enrich_lead: Loop
) -> None:
    run = begin(enrich_lead)

    queued = page(viewer, run)
    assert queued.index("Push the lead into Clay") < queued.index("Wait for Clay&#x27;s answer")
    assert queued.count("Pending") == 2

    Run.objects.update(status=RunStatus.CANCELLED)
    assert page(viewer, run).count("Not reached") == 2


def test_an_attempt_shows_what_went_out_and_what_came_back(
    viewer: Client, project: Project, clay: ClaySimulator, enrich_lead: Loop
) -> None:
    connect(
        project=project,
        provider=get_provider("clay"),
        connection=Connection(
            webhook_url=clay.url, auth_header_name="x-clay-webhook-auth", auth_header_value="s3cret-t0ken"
        ),
    )
    run = ran(enrich_lead)

    shown = page(viewer, run)

    assert "<div>x-clay-webhook-auth: ••••</div>" in shown
    assert "s3cret-t0ken" not in shown
    assert clay.url not in shown
    assert Webhook.objects.get().masked_url in shown
    assert "HTTP 200" in shown
    assert "${{ callback.url }}" in shown
    assert "/v1/callbacks/" not in shown
    assert "&quot;success&quot;: true" in shown
    curl = viewer.get(f"{RUNS}{run.pk}/").context["part"]["step-0"].content
    assert "curl -X POST &quot;$WEBHOOK_URL&quot;" in curl
    assert "-H &#x27;x-clay-webhook-auth: &#x27;&quot;$TOKEN&quot;" in curl


def test_a_callback_is_shown_with_its_body(
    viewer: Client, project: Project, integration: Integration, enrich_lead: Loop
) -> None:
    run = ran(enrich_lead)
    receive_by_request_id(project, {"request_id": run.pk, "score": 9})
    work_off()
    receive_by_request_id(project, {"request_id": run.pk, "score": 9})

    shown = page(viewer, run)

    assert "Used" in shown
    assert "came 2 times" in shown
    assert "&quot;score&quot;: 9" in shown
    assert "run.completed" in shown


def test_warnings_are_shown(viewer: Client, push_leads: Loop) -> None:
    run = begin(push_leads, name="{{Name}}")

    assert "event.name holds a placeholder that Clay did not fill in." in page(viewer, run)


def test_hostile_data_leaves_the_page_whole(
    viewer: Client, integration: Integration, clay: ClaySimulator, project: Project
) -> None:
    loop = create_loop(
        project=project,
        authored=PUSH_LEADS
        | {"name": EVIL.replace("/", ""), "run_name": {"template": EVIL, "description_template": EVIL}},
    )
    clay.next_answers(Behaviour(body=EVIL.encode(), fail=400))
    run = begin(loop, key=EVIL, email=EVIL, note=EVIL)
    Run.objects.update(source={"type": "api", "label": EVIL})
    work_off()

    for address in (RUNS, f"{RUNS}{run.pk}/", f"{RUNS}{run.pk}/live/"):
        shown = text(viewer.get(address))
        assert "<script>alert" not in shown
        assert "&lt;script&gt;alert" in shown
    assert "\\u202e" in text(viewer.get(f"{RUNS}{run.pk}/"))


def test_a_megabyte_of_text_is_cut(viewer: Client, push_leads: Loop) -> None:
    run = begin(push_leads)
    Run.objects.update(event={"note": "x" * 1_000_000}, result={"note": "y" * 1_000_000}, warnings=["w"] * 1_000)

    shown = page(viewer, run)

    assert len(shown) < 200_000
    assert "all of it has 1,000,016 characters" in shown


def test_many_attempts_and_events_do_not_make_many_questions(
    viewer: Client, integration: Integration, clay: ClaySimulator, project: Project
) -> None:
    step = PUSH_LEADS["steps"][0]
    loop = create_loop(project=project, authored=PUSH_LEADS | {"steps": [step | {"id": f"s{n}"} for n in range(20)]})
    run = ran(loop)
    assert run.status == RunStatus.COMPLETED

    with CaptureQueriesContext(connection) as asked:
        page(viewer, run)

    assert len(asked) <= 12


# --- live ------------------------------------------------------------------------------------------------------------


def seen_on(shown: str) -> list[str]:
    return re.findall(r'name="seen"\s+value="([^"]+)"', shown)


def test_the_browser_gets_only_what_differs_from_what_it_has(
    viewer: Client, integration: Integration, project: Project, enrich_lead: Loop
) -> None:
    run = ran(enrich_lead)
    shown = page(viewer, run)
    assert "hx-trigger" in shown
    live = f"{RUNS}{run.pk}/live/"

    unchanged = viewer.get(live, {"seen": seen_on(shown)})
    assert unchanged.status_code == 204
    assert unchanged.content == b""

    receive_by_request_id(project, {"request_id": run.pk, "score": 9})
    work_off()
    changed = viewer.get(live, {"seen": seen_on(shown)})

    assert changed.status_code == 286  # htmx asks no more
    parts = re.findall(r'id="part-([a-z0-9-]+)"', text(changed))
    assert parts == ["badge", "why", "step-1", "result", "callbacks", "log"]
    assert "The run is completed." in text(changed)
    assert "<title>Completed run" in text(changed)
    assert "hx-trigger" not in page(viewer, run)


def test_nothing_new_of_a_run_that_has_ended_still_stops_the_asking(
    viewer: Client, integration: Integration, push_leads: Loop
) -> None:
    run = ran(push_leads)

    response = viewer.get(f"{RUNS}{run.pk}/live/", {"seen": seen_on(page(viewer, run))})

    assert response.status_code == 286
    assert response.content == b""


def test_the_list_survives_a_loop_that_is_gone(viewer: Client, push_leads: Loop) -> None:
    begin(push_leads)

    assert "(deleted)" not in text(viewer.get(RUNS))
    Loop.objects.update(status="deleted")
    assert "push-leads (deleted)" in text(viewer.get(RUNS, {"loop": push_leads.pk}))
