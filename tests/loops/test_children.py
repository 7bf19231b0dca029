"""The step `loop`: a child that is there if and only if its step is done, and chains that come to an end."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from loops.authoring import create_loop, delete_loop, update_loop
from loops.models import Loop, Run
from loops.starting import DEEPEST
from mobius.errors import InvalidFields
from mobius.projects.models import Project
from tests.cast import Api, work_off
from tests.loops.flow import NAP, begin, fresh, go, loop_of, step_of
from tests.loops.runs import log_of, wait

pytestmark = pytest.mark.django_db


def calls(loop: Loop | str, **config: Any) -> dict[str, Any]:
    loop_id = loop if isinstance(loop, str) else loop.pk
    return {"id": "child", "kind": "loop", "config": {"loop_id": loop_id} | config}


@pytest.fixture
def child(project: Project) -> Loop:
    return loop_of(project, wait())


def test_it_starts_a_child_and_is_done_while_the_child_goes_on(api: Api, project: Project, child: Loop) -> None:
    run = go(project, calls(child))

    (started,) = Run.objects.children_of(run.pk)
    assert run.status == "completed"
    assert step_of(run, "child").result == {"run_id": started.pk, "loop_id": child.pk}
    assert fresh(started).status == "suspended"
    assert started.event == run.event
    shown = api.get(f"{api.root}/runs/{started.pk}").json()
    assert (shown["parent_run_id"], shown["parent_loop_id"], shown["parent_step_key"]) == (run.pk, run.loop_id, "child")


def test_event_and_config_are_rendered_for_the_child_which_may_be_named(project: Project, child: Loop) -> None:
    run = go(project, NAP, calls(child.name, event={"mail": "${{ event.email }}"}, config={"by": "${{ meta.run_id }}"}))

    (started,) = Run.objects.children_of(run.pk)
    assert (started.event, started.config) == ({"mail": "ada@example.com"}, {"by": run.pk})


@pytest.mark.parametrize("how", ["paused", "deleted"])
def test_a_child_that_cannot_be_started_fails_the_step_with_the_reason(project: Project, child: Loop, how: str) -> None:
    parent = loop_of(project, calls(child))
    if how == "paused":
        update_loop(child, {"status": "paused"})
    else:
        delete_loop(child)
    run = begin(parent)
    work_off()

    run = fresh(run)
    assert (run.status, run.error_type) == ("failed", "loop_paused" if how == "paused" else "not_found")
    assert not Run.objects.children_of(run.pk).exists()


def test_the_child_s_own_concurrency_counts(project: Project) -> None:
    child = loop_of(project, wait(), concurrency="queue")
    first, second = go(project, calls(child)), go(project, calls(child))

    (one,), (two,) = Run.objects.children_of(first.pk), Run.objects.children_of(second.pk)
    assert (one.queue_reason, two.queue_reason) == ("", "loop_policy")


def test_a_loop_that_starts_itself_comes_to_an_end_and_says_why(project: Project) -> None:
    loop = loop_of(project, NAP)
    update_loop(loop, {"steps": [calls(loop.name)]})
    begin(loop)
    work_off()

    runs = list(Run.objects.of_loop(loop.pk).order_by("depth"))
    assert [run.depth for run in runs] == list(range(DEEPEST + 1))
    assert [run.status for run in runs] == ["completed"] * DEEPEST + ["failed"]
    assert runs[-1].error_type == "chain_too_deep"


def test_a_loop_that_is_not_there_is_refused_when_saved(project: Project, other_project: Project) -> None:
    theirs = loop_of(other_project, NAP)
    for named in ("nobody", theirs.pk):
        with pytest.raises(InvalidFields) as refusal:
            create_loop(project=project, authored={"name": "x", "steps": [NAP, calls(named)]})
        assert set(refusal.value.fields) == {"steps[1].config.loop_id"}


# --- check -----------------------------------------------------------------------------------------------------------


def checks(*expressions: str, **config: Any) -> dict[str, Any]:
    listed = [{"name": f"check {index}", "kind": "expr", "expr": one} for index, one in enumerate(expressions)]
    return {"id": "proof", "kind": "check", "config": {"checks": listed} | config}


def test_checks_that_pass_complete_the_step_with_their_verdict(api: Api, project: Project) -> None:
    run = go(project, NAP, checks('event.email == "ada@example.com"', "steps.nap.output == steps[0].output"))

    assert run.status == "completed"
    step = api.get(f"{api.root}/runs/{run.pk}/steps").json()["items"][1]
    assert step["verdict"] == "pass"
    assert step["verdict_detail"]["failed"] == []
    assert [one["pass"] for one in step["verdict_detail"]["checks"]] == [True, True]


def test_a_check_that_does_not_pass_fails_the_run(api: Api, project: Project) -> None:
    run = go(project, checks("true", "1 > 2"))

    assert (run.status, run.stop_reason, run.error_type) == ("failed", "check_failed", "check_failed")
    assert run.error_message == "Did not pass: check 1."
    assert "check.verdict" in log_of(run)
    (step,) = api.get(f"{api.root}/runs/{run.pk}/steps").json()["items"]
    assert (step["status"], step["verdict"], step["verdict_detail"]["failed"]) == ("failed", "fail", ["check 1"])


def test_with_continue_the_run_goes_on_with_a_red_verdict(api: Api, project: Project) -> None:
    run = go(project, checks("1 > 2", on_fail="continue"), checks('steps.proof.output.verdict == "fail"') | {"id": "b"})

    assert run.status == "completed"
    step = api.get(f"{api.root}/runs/{run.pk}/steps").json()["items"][0]
    assert (step["status"], step["verdict"]) == ("completed", "fail")


def test_a_check_that_cannot_be_evaluated_fails_the_step_as_an_expression_error(project: Project) -> None:
    run = go(project, checks("event.nothing.there"))

    assert (run.status, run.stop_reason, run.error_type) == ("failed", "step_failed", "expression_error")


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ({}, "steps[0].config.checks"),
        ({"checks": []}, "steps[0].config.checks"),
        ({"checks": [{"name": "a"}]}, "steps[0].config.checks[0].expr"),
        ({"checks": [{"name": "a", "expr": "1 +"}]}, "steps[0].config.checks[0].expr"),
        ({"checks": [{"name": "a", "expr": "true", "kind": "agent"}]}, "steps[0].config.checks[0].kind"),
        ({"checks": [{"name": "a", "expr": "true"}] * 2}, "steps[0].config.checks[1].name"),
        ({"checks": [7]}, "steps[0].config.checks[0]"),
        ({"checks": [{"name": "a", "expr": "true"}], "on_fail": "gate"}, "steps[0].config.on_fail"),
    ],
)
def test_checks_that_cannot_be_run_are_refused_naming_the_place(
    project: Project, config: dict[str, Any], place: str
) -> None:
    with pytest.raises(InvalidFields) as refusal:
        create_loop(project=project, authored={"name": "x", "steps": [{"kind": "check", "config": config}]})

    assert place in refusal.value.fields


def test_the_run_s_page_shows_twenty_of_its_runs_and_leads_to_the_others(
    admin: Client, project: Project, child: Loop
) -> None:
    run = go(project, *(calls(child) | {"id": f"child-{number}"} for number in range(21)))
    operate = "/projects/platform/operate/runs/"

    shown = admin.get(f"{operate}{run.pk}/").content.decode()
    all_of_them = admin.get(f"{operate}?q={run.pk}&limit=30").content.decode()

    started = [one.pk for one in Run.objects.children_of(run.pk)]
    assert [pk for pk in started if f"{operate}{pk}/" not in shown] == started[20:]
    assert f'href="{operate}?q={run.pk}"' in shown
    assert [pk for pk in started if f"{operate}{pk}/" not in all_of_them] == []
