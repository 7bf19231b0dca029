"""The pages of what went out and of what came back."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from integrations.models import Attempt, AttemptState, Integration
from integrations.probing import probe
from integrations.providers.clay.simulated_endpoint import Behaviour
from integrations.providers.clay.simulator import ClaySimulator
from integrations.settling import Decision
from loops.authoring import create_loop
from loops.callbacks import receive_by_request_id
from loops.models import Callback, CallbackState, Loop, Run
from loops.retrying import retry
from loops.settling import settle
from loops.starting import Start, start_run
from mobius import clock
from mobius.ids import new_id
from mobius.projects.auditing import SYSTEM, person
from mobius.projects.models import Project
from tests.cast import PUSH_LEADS, work_off
from tests.loops.flow import go, push

pytestmark = pytest.mark.django_db

DELIVERIES = "/projects/platform/operate/deliveries/"
CALLBACKS = "/projects/platform/operate/callbacks/"
EVIL = "<script>alert(1)</script>\u202e\u200f"


@pytest.fixture
def viewer(client: Client, vera: User) -> Client:
    client.force_login(vera)
    return client


def text(response: Any) -> str:
    return str(response.content.decode())


def ran(loop: Loop) -> Run:
    run = start_run(loop=loop, start=Start(event={"email": "a@b.c"}, meta={}, config={}, source={})).run
    work_off()
    return Run.objects.get(pk=run.pk)


def copies(attempt: Attempt, number: int) -> None:
    Attempt.objects.bulk_create(
        Attempt(
            id=new_id("att"),
            project_id=attempt.project_id,
            integration_id=attempt.integration_id,
            webhook_id=attempt.webhook_id,
            run_id=attempt.run_id,
            action=attempt.action,
            state=AttemptState.ACCEPTED,
            body_digest="",
            body_size=0,
            created_at=clock.now(),
        )
        for _ in range(number)
    )


# --- who gets in -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", [DELIVERIES, CALLBACKS, f"{DELIVERIES}att_1/", f"{CALLBACKS}cbk_1/"])
def test_strangers_find_nothing_and_the_anonymous_are_asked_to_sign_in(
    client: Client, charlie: User, project: Project, address: str
) -> None:
    assert client.get(address).headers["Location"] == f"/login/?next={address}"

    client.force_login(charlie)

    assert client.get(address).status_code == 404


def test_what_belongs_to_another_project_is_not_found(
    client: Client, charlie: User, integration: Integration, push_leads: Loop, project: Project
) -> None:
    run = ran(push_leads)
    callback = receive_by_request_id(project, {"request_id": run.pk}).callback
    client.force_login(charlie)
    ours = f"/projects/elsewhere/operate/deliveries/{Attempt.objects.get().pk}/"

    assert client.get(ours).status_code == 404
    assert client.get(f"/projects/elsewhere/operate/callbacks/{callback.pk}/").status_code == 404
    for page in ("deliveries", "callbacks"):
        found = client.get(f"/projects/elsewhere/operate/{page}/", {"q": run.pk})
        assert found.context["page"].items == []


def test_nothing_is_changed_by_posting(viewer: Client) -> None:
    assert viewer.post(DELIVERIES).status_code == viewer.post(CALLBACKS).status_code == 405


# --- deliveries ------------------------------------------------------------------------------------------------------


def test_each_delivery_leads_to_its_run(viewer: Client, integration: Integration, push_leads: Loop) -> None:
    run = ran(push_leads)
    attempt = Attempt.objects.get()

    page = text(viewer.get(DELIVERIES))
    assert f'href="/projects/platform/operate/runs/{run.pk}/"' in page
    assert f'href="{DELIVERIES}{attempt.pk}/"' in page
    assert "Accepted" in page
    one = text(viewer.get(f"{DELIVERIES}{attempt.pk}/"))
    assert f'href="/projects/platform/operate/runs/{run.pk}/"' in one
    assert "The row was taken." in one
    assert "a@b.c" in one


def test_a_test_of_the_connection_is_listed_without_a_run(
    viewer: Client, integration: Integration, clay: ClaySimulator
) -> None:
    probe(integration)

    page = text(viewer.get(DELIVERIES))

    assert "Test" in page
    assert "/operate/runs/run_" not in page
    assert viewer.get(f"{DELIVERIES}{Attempt.objects.get().pk}/").status_code == 200


def test_a_row_stands_there_letter_for_letter_too_and_an_answer_that_is_plain_only_once(
    viewer: Client, integration: Integration, clay: ClaySimulator, push_leads: Loop
) -> None:
    ran(push_leads)
    Attempt.objects.update(body='{"email":"a@b.c"}', response="OK")

    page = text(viewer.get(f"{DELIVERIES}{Attempt.objects.get().pk}/"))

    assert "Row, letter for letter" in page
    assert "{&quot;email&quot;:&quot;a@b.c&quot;}" in page
    assert "Answer, letter for letter" not in page


def test_a_failed_delivery_says_cause_and_fix(
    viewer: Client, integration: Integration, clay: ClaySimulator, push_leads: Loop
) -> None:
    clay.next_answers(Behaviour(fail=404))
    ran(push_leads)

    page = text(viewer.get(f"{DELIVERIES}{Attempt.objects.get().pk}/"))

    assert "There is no webhook at this URL" in page
    assert "Copy the whole URL from the webhook&#x27;s source in Clay and connect again." in page


def test_the_list_is_filtered_by_state_and_searched_by_exact_ids(
    viewer: Client, integration: Integration, clay: ClaySimulator, project: Project
) -> None:
    step = PUSH_LEADS["steps"][0]
    parameters = step["config"]["parameters"] | {"external_id": "lead-7"}
    authored = PUSH_LEADS | {"steps": [step | {"config": step["config"] | {"parameters": parameters}}]}
    loop = create_loop(project=project, authored=authored)
    clay.next_answers(Behaviour(reset=True))
    doubtful, accepted = ran(loop), ran(loop)

    def found(**query: str) -> list[str]:
        return [attempt.run_id for attempt in viewer.get(DELIVERIES, query).context["page"].items]

    assert found(state="in_doubt") == [doubtful.pk]
    assert found(state="refused") == []
    assert found(state="nonsense") == [accepted.pk, doubtful.pk]
    assert found(q=accepted.pk) == [accepted.pk]
    assert found(q="lead-7") == [accepted.pk, doubtful.pk]
    assert found(q="lead-7", state="in_doubt") == [doubtful.pk]
    assert found(q="lead") == found(q="%") == found(q="x" * 1_000_000) == []
    assert found(q=Attempt.objects.latest("pk").pk) == [accepted.pk]


def test_two_hundred_deliveries_are_paged_by_key_with_few_questions(
    viewer: Client, integration: Integration, push_leads: Loop
) -> None:
    ran(push_leads)
    copies(Attempt.objects.get(), 199)

    with CaptureQueriesContext(connection) as asked:
        first = viewer.get(DELIVERIES)

    assert len(asked) <= 9
    assert not any("OFFSET" in query["sql"] for query in asked)
    assert all("LIMIT 1001" in query["sql"] for query in asked if "COUNT(" in query["sql"])
    second = viewer.get(DELIVERIES, {"cursor": first.context["page"].next_cursor})
    ids = [attempt.pk for page in (first, second) for attempt in page.context["page"].items]
    assert ids == list(Attempt.objects.order_by("-pk").values_list("pk", flat=True)[:100])
    assert viewer.get(DELIVERIES, {"cursor": "nonsense"}).status_code == 400


def test_empty_lists_teach(viewer: Client) -> None:
    assert "Nothing was sent yet" in text(viewer.get(DELIVERIES))
    assert "No row is in doubt" in text(viewer.get(DELIVERIES, {"state": "in_doubt"}))
    assert "No delivery fits" in text(viewer.get(DELIVERIES, {"q": "x"}))
    # Another day, or another integration, may have some.
    for narrower in ({"q": "x"}, {"to": "2020-01-01"}, {"integration": "intg_another"}):
        assert "No delivery fits" in text(viewer.get(DELIVERIES, {"state": "in_doubt"} | narrower))
    assert "Nothing came back yet" in text(viewer.get(CALLBACKS))
    assert "No callback fits" in text(viewer.get(CALLBACKS, {"state": "used"}))


def test_hostile_data_leaves_the_pages_whole(
    viewer: Client, integration: Integration, push_leads: Loop, project: Project
) -> None:
    run = ran(push_leads)
    Attempt.objects.update(
        request_id=EVIL, external_id=EVIL, body=EVIL, response=EVIL * 5_000, error_message=EVIL, state="refused"
    )
    callback = Callback.objects.create(
        project=project, run=run, request_id=EVIL, body={EVIL: "x" * 250_000}, body_digest="1", received_at=clock.now()
    )

    for address in (
        DELIVERIES,
        f"{DELIVERIES}{Attempt.objects.get().pk}/",
        CALLBACKS,
        f"{CALLBACKS}{callback.pk}/",
    ):
        page = text(viewer.get(address))
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page
        assert len(page) < 200_000


def test_what_is_pasted_into_a_shell_runs_nothing_of_its_own(
    viewer: Client, integration: Integration, push_leads: Loop
) -> None:
    ran(push_leads)
    attempt = Attempt.objects.get()
    attempt.webhook.auth_header_name = "x`reboot`'"
    attempt.webhook.save()
    Attempt.objects.update(body="""{"a": "'; reboot; '$(reboot)"}""")

    curl = viewer.get(f"{DELIVERIES}{attempt.pk}/").context["one"].curl

    words = shlex.split(curl.replace("\\\n", " "))
    assert words[:4] == ["curl", "-X", "POST", "$WEBHOOK_URL"]
    assert words[7] == "x`reboot`': $TOKEN"
    assert words[9] == """{"a": "'; reboot; '$(reboot)"}"""


# --- callbacks -------------------------------------------------------------------------------------------------------


def test_callbacks_are_listed_with_what_became_of_them(
    viewer: Client, integration: Integration, push_leads: Loop, project: Project
) -> None:
    run = ran(push_leads)
    callback = receive_by_request_id(project, {"request_id": run.pk, "score": 9}).callback
    receive_by_request_id(project, {"request_id": run.pk, "score": 9})

    page = text(viewer.get(CALLBACKS))
    assert "Late" in page
    assert "2 times" in page
    assert f'href="/projects/platform/operate/runs/{run.pk}/"' in page
    one = text(viewer.get(f"{CALLBACKS}{callback.pk}/"))
    assert "It came after the run had ended." in one
    assert "&quot;score&quot;: 9" in one


def test_callbacks_are_found_by_state_and_exact_id(
    viewer: Client, integration: Integration, push_leads: Loop, project: Project
) -> None:
    run = ran(push_leads)
    callback = receive_by_request_id(project, {"request_id": run.pk}).callback

    def found(**query: str) -> list[str]:
        return [one.pk for one in viewer.get(CALLBACKS, query).context["page"].items]

    assert found() == found(state="late") == found(q=run.pk) == found(q=callback.pk) == [callback.pk]
    assert found(state="used") == found(q="run") == []
    assert viewer.get(CALLBACKS, {"cursor": "nonsense"}).status_code == 400


@pytest.mark.parametrize("state", CallbackState.values)
def test_every_state_of_a_callback_has_its_sentence(viewer: Client, project: Project, state: str) -> None:
    callback = Callback.objects.create(
        project=project, state=state, body={}, body_digest=state, received_at=clock.now()
    )

    assert viewer.get(f"{CALLBACKS}{callback.pk}/").context["sentence"]


def test_two_hundred_callbacks_are_paged_with_few_questions(viewer: Client, project: Project) -> None:
    now = clock.now()
    Callback.objects.bulk_create(
        Callback(id=new_id("cbk"), project=project, body={"n": n}, body_digest=str(n), received_at=now)
        for n in range(200)
    )

    with CaptureQueriesContext(connection) as asked:
        page = viewer.get(CALLBACKS).context["page"]

    assert len(asked) <= 8
    assert len(page.items) == 50
    assert page.has_more


# --- may it be sent again? -------------------------------------------------------------------------------------------


@pytest.fixture
def operator(client: Client, bob: User) -> Client:
    client.force_login(bob)
    return client


@pytest.mark.parametrize(
    ("answer", "sentence", "page"),
    [
        (Behaviour(), "Already accepted: it is not sent again.", ""),
        (Behaviour(fail=400), "No row was created, so sending it again is safe.", "runs/{run}/retry/"),
        (Behaviour(reset=True), "Nobody knows whether it arrived", "deliveries/{delivery}/settle/"),
    ],
)
def test_a_row_is_offered_to_be_sent_again_only_where_that_is_safe(
    operator: Client,
    integration: Integration,
    push_leads: Loop,
    clay: ClaySimulator,
    answer: Behaviour,
    sentence: str,
    page: str,
) -> None:
    clay.next_answers(answer)
    run = ran(push_leads)
    attempt = Attempt.objects.get()

    shown = text(operator.get(f"{DELIVERIES}{attempt.pk}/"))

    assert sentence in shown
    offered = re.findall(r'href="/projects/platform/operate/([^"]+/(?:retry|settle)/)"', shown)
    assert offered == ([page.format(run=run.pk, delivery=attempt.pk)] if page else [])


def test_a_row_whose_run_cannot_go_on_says_why_and_what_to_do_instead(
    operator: Client, integration: Integration, push_leads: Loop, clay: ClaySimulator
) -> None:
    clay.next_answers(Behaviour(fail=400))
    ran(push_leads)
    Loop.objects.update(status="deleted")

    shown = text(operator.get(f"{DELIVERIES}{Attempt.objects.get().pk}/"))

    assert "loop is deleted. So send it as a new request." in shown
    assert "/retry/" not in shown


def test_a_delivery_names_its_callbacks_and_what_people_did_to_it(
    operator: Client, project: Project, bob: User, integration: Integration, push_leads: Loop, clay: ClaySimulator
) -> None:
    clay.next_answers(Behaviour(reset=True))
    run = ran(push_leads)
    attempt = Attempt.objects.get()
    settle(attempt, Decision.ARRIVED, reason="saw it in the table", by=person(bob))
    callback = receive_by_request_id(project, {"request_id": run.pk, "score": 1}).callback

    with CaptureQueriesContext(connection) as asked:
        shown = text(operator.get(f"{DELIVERIES}{attempt.pk}/"))

    assert len(asked) <= 12
    assert f'href="{CALLBACKS}{callback.pk}/"' in shown
    assert "saw it in the table" in shown
    assert "delivery.arrived" in shown


def test_a_delivery_leads_to_the_other_attempts_of_its_step(
    operator: Client, project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(Behaviour(fail=400))
    run = go(project, push())
    retry(run, by=SYSTEM)
    work_off()
    first, second = Attempt.objects.order_by("id")

    shown = text(operator.get(f"{DELIVERIES}{first.pk}/"))

    assert f'href="{DELIVERIES}{second.pk}/"' in shown
    assert "Its step has tried again since." in shown
    assert "/retry/" not in shown
