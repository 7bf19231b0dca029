"""A row that is sent as a new request: another row, under a request_id of its own, because somebody asked for it."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from integrations import connecting, invoking
from integrations.models import Attempt, AttemptKind, AttemptState, Integration
from integrations.probing import probe
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from integrations.sending_anew import NotAnew, new_request_id, send_anew
from integrations.settling import Decision
from loops.models import Run
from loops.settling import settle
from mobius.projects.auditing import SYSTEM
from mobius.projects.models import AuditEvent, Project
from tests.loops.flow import LOST, asking, fresh, go, push

pytestmark = pytest.mark.django_db(transaction=True)

DELIVERIES = "/projects/platform/operate/deliveries/"
SENT = {"payload": {"email": "${{ event.email }}"}, "request_id": "lead:1", "external_id": "crm-7"}


@pytest.fixture(autouse=True)
def _open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invoking, "_closing", threading.Event())


@pytest.fixture
def operator(client: Client, bob: User) -> Client:
    client.force_login(bob)
    return client


@pytest.fixture
def accepted(project: Project, integration: Integration, clay: ClaySimulator) -> Attempt:
    go(project, push(row=SENT))
    return Attempt.objects.get()


def page_of(attempt: Attempt) -> str:
    return f"{DELIVERIES}{attempt.pk}/anew/"


def text(response: Any) -> str:
    return " ".join(response.content.decode().split())


def asked(operator: Client, attempt: Attempt) -> dict[str, str]:
    """What the page's form is sent with."""
    response = operator.get(page_of(attempt))
    assert response.status_code == 200
    return {"request_id": response.context["form"]["request_id"].value(), "reason": "the table was emptied"}


def test_an_accepted_row_goes_out_once_more_under_another_request_id(
    operator: Client, accepted: Attempt, clay: ClaySimulator
) -> None:
    assert f'href="{page_of(accepted)}"' in text(operator.get(f"{DELIVERIES}{accepted.pk}/"))
    answer = asked(operator, accepted)
    assert re.fullmatch(r"lead:1-again-[0-9a-f]{6}", answer["request_id"])

    response = operator.post(page_of(accepted), answer, follow=True)

    first, second = (row.body for row in clay.rows)
    assert second == first | {"request_id": answer["request_id"]}
    new = Attempt.objects.order_by("pk").last()
    assert new is not None
    assert (new.kind, new.state, new.run_id) == (AttemptKind.INVOKE, AttemptState.ACCEPTED, "")
    assert response.redirect_chain == [(f"{DELIVERIES}{new.pk}/", 302)]
    assert "The row was taken." in text(response)
    line = AuditEvent.objects.get(action="delivery.send_anew")
    assert (line.object_id, line.actor_id) == (accepted.pk, "bob")
    assert line.reason == f"Sent as {new.pk}. the table was emptied"
    assert fresh(Run.objects.get()).status == "completed"


def test_the_question_says_what_happens_and_what_it_costs(operator: Client, accepted: Attempt) -> None:
    page = text(operator.get(page_of(accepted)))

    assert "enrichments may spend their credits" in page
    assert "the table then has it twice" in page
    assert "It uses 1 of the 49,999 submissions that are left." in page
    assert "the run that sent it first stays as it is" in page


def test_two_presses_of_the_button_make_one_row(operator: Client, accepted: Attempt, clay: ClaySimulator) -> None:
    answer = asked(operator, accepted)

    first, second = (operator.post(page_of(accepted), answer) for _ in range(2))

    assert len(clay.rows) == 2
    assert first.headers["Location"] == second.headers["Location"]
    assert AuditEvent.objects.filter(action="delivery.send_anew").count() == 1


def test_a_row_that_somebody_gave_up_can_be_sent_and_its_retry_is_warned_of(
    operator: Client, project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(LOST)
    go(project, push(row=SENT))
    doubt = Attempt.objects.get()
    assert page_of(doubt) not in text(operator.get(f"{DELIVERIES}{doubt.pk}/"))
    settle(doubt, Decision.GIVE_UP, reason="not in the table", by=SYSTEM)

    assert f'href="{page_of(doubt)}"' in text(operator.get(f"{DELIVERIES}{doubt.pk}/"))
    assert "The first one made no row." in text(operator.get(page_of(doubt)))
    operator.post(page_of(doubt), asked(operator, doubt))

    assert [row.body["external_id"] for row in clay.rows] == ["crm-7"]


def test_a_refused_row_is_warned_that_a_retry_would_send_it_too(
    operator: Client, project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(Behaviour(fail=400))
    go(project, push(row=SENT))

    assert "Do not retry its run afterwards" in text(operator.get(page_of(Attempt.objects.get())))


def test_a_row_without_a_request_id_gets_none(
    operator: Client, project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    go(project, push(row={"payload": {"email": "a@b.c"}}))
    attempt = Attempt.objects.get()
    assert "without a request_id, as it was" in text(operator.get(page_of(attempt)))

    operator.post(page_of(attempt), asked(operator, attempt))

    assert [row.body for row in clay.rows] == [{"email": "a@b.c"}] * 2


def test_a_row_whose_result_comes_back_to_its_run_is_sent_by_a_new_run_instead(
    operator: Client, project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, asking(), event={"email": "grace@example.com"})
    attempt = Attempt.objects.get()
    start = f"/projects/platform/build/loops/{run.loop_id}/?run={run.pk}"
    shown = text(operator.get(f"{DELIVERIES}{attempt.pk}/"))

    assert "comes back to its run, so a new run sends another." in shown
    assert f'href="{start}#start"' in shown
    assert page_of(attempt) not in shown
    assert "grace@example.com" in text(operator.get(start))
    assert "a new run has to send it" in text(operator.get(page_of(attempt), follow=True))
    sent = operator.post(page_of(attempt), {"request_id": "x"}, follow=True)
    assert "a new run has to send it" in text(sent)
    assert len(clay.rows) == 1


def test_a_row_whose_integration_is_disconnected_meanwhile_says_so(
    operator: Client, accepted: Attempt, integration: Integration, clay: ClaySimulator
) -> None:
    answer = asked(operator, accepted)
    connecting.disconnect(integration)

    response = operator.post(page_of(accepted), answer, follow=True)

    assert response.redirect_chain == [(f"{DELIVERIES}{accepted.pk}/", 302)]
    assert "cannot be sent as a new request. Its integration is disconnected." in text(response)
    assert len(clay.rows) == 1


def test_what_stands_against_it_is_said_and_nothing_is_sent(
    operator: Client, accepted: Attempt, integration: Integration, clay: ClaySimulator
) -> None:
    answer = asked(operator, accepted)
    connecting.pause(integration)

    response = operator.post(page_of(accepted), answer)

    assert response.status_code == 422
    assert "The integration is paused, so nothing was sent. Resume it first." in text(response)
    assert answer["request_id"] in text(response), "a second try is the same request"
    assert len(clay.rows) == 1


def test_a_row_that_is_refused_again_leads_to_the_new_delivery_with_the_cause(
    operator: Client, accepted: Attempt, clay: ClaySimulator
) -> None:
    clay.next_answers(Behaviour(fail=401))

    response = operator.post(page_of(accepted), asked(operator, accepted), follow=True)

    assert response.redirect_chain[0][0] != f"{DELIVERIES}{accepted.pk}/"
    assert "Refused" in text(response)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"state": "sending"}, "Nobody knows yet"),
        ({"state": "in_doubt"}, "Nobody knows yet"),
        ({"body": ""}, "is purged"),
        ({"integration": None}, "is disconnected"),
    ],
)
def test_what_cannot_go_out_is_refused_with_the_reason(
    accepted: Attempt, change: dict[str, Any], sentence: str
) -> None:
    Attempt.objects.update(**change)

    with pytest.raises(NotAnew, match=f"{sentence}.* Nothing was sent."):
        send_anew(Attempt.objects.get(), request_id="new", reason="", by=SYSTEM)


def test_a_test_is_tested_again(integration: Integration) -> None:
    with pytest.raises(NotAnew, match="test the webhook again"):
        send_anew(probe(integration).attempt, request_id="", reason="", by=SYSTEM)


def test_the_first_request_id_is_no_new_one(accepted: Attempt) -> None:
    with pytest.raises(NotAnew, match="another request_id"):
        send_anew(accepted, request_id=accepted.request_id, reason="", by=SYSTEM)


def test_a_long_request_id_stays_within_what_is_taken(accepted: Attempt) -> None:
    accepted.request_id = "x" * 255

    assert len(new_request_id(accepted)) == 255


def test_a_viewer_is_not_offered_it_and_a_stranger_finds_nothing(
    client: Client, vera: User, charlie: User, accepted: Attempt, clay: ClaySimulator
) -> None:
    client.force_login(vera)
    assert page_of(accepted) not in text(client.get(f"{DELIVERIES}{accepted.pk}/"))
    assert client.post(page_of(accepted), {"request_id": "new"}).status_code == 403
    client.force_login(charlie)
    assert client.post(page_of(accepted), {"request_id": "new"}).status_code == 404
    assert len(clay.rows) == 1
