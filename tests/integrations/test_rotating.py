"""`mobius secrets rotate`: every secret comes under a new key, whatever happens meanwhile, and nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner
from django.db import connection

from integrations import rotating
from integrations.choosing import open_connection
from integrations.models import Integration, KeyCheck, Webhook, WebhookSecret
from integrations.providers.clay.simulator import ClaySimulator
from integrations.rotating import Rotation, rotate_secrets
from integrations.secrets import WrongKey, fingerprint, prove_key
from loops.authoring import create_loop
from loops.callback_addresses import give_address
from loops.models import Run, Step
from mobius.cli import main
from mobius.projects.auditing import COMMAND_LINE
from mobius.projects.models import AuditEvent, Project
from tests.cast import PUSH_LEADS, Api, work_off
from tests.integrations.keys import NEW_KEY, keys

URL = "https://api.clay.com/v3/sources/webhook/planted-url-path"


@pytest.fixture
def old(settings: Any) -> str:
    """The key that everything is under at first."""
    (key,) = settings.FIELD_ENCRYPTION_KEY
    return str(key)


@pytest.fixture
def three(api: Api) -> list[str]:
    """Integrations of one project, each with its secret; the last has no header."""
    names = ["one", "two", "three"]
    for name in names:
        body = {"webhook_url": f"{URL}-{name}", "name": name}
        header = {"auth_header_name": "x-auth", "auth_header_value": f"value-{name}"} if name != "three" else {}
        assert api.post(f"{api.root}/integrations/providers/clay/connect", body | header).status_code == 200
    return names


def ciphertexts() -> list[tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT url, auth_header_value FROM integrations_webhooksecret ORDER BY webhook_id")
        return cursor.fetchall()


def opened() -> set[tuple[str, str]]:
    found = map(open_connection, Webhook.objects.filter(secret__isnull=False))
    return {(one.webhook_url, one.auth_header_value) for one in found}


def counts(done: Rotation) -> tuple[int, int, int, int]:
    return done.rotated, done.current, done.old, len(done.unreadable)


def test_after_a_rotation_the_new_key_alone_reads_everything(three: list[str], old: str) -> None:
    before = opened()

    with keys(NEW_KEY, old):
        assert counts(rotate_secrets()) == (3, 0, 0, 0)
    with keys(NEW_KEY):
        prove_key()
        assert opened() == before


def test_rotating_again_changes_not_a_letter(three: list[str], old: str) -> None:
    with keys(NEW_KEY, old):
        rotate_secrets()
        before = ciphertexts()
        done = rotate_secrets()

    assert counts(done) == (0, 3, 0, 0)
    assert done.complete
    assert ciphertexts() == before


def test_a_rotation_that_was_stopped_goes_on_where_it_was(
    three: list[str], old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    note, noted = rotating.connecting.note, []

    def stop_at_the_second(*args: Any, **kwargs: Any) -> None:
        noted.append(args)
        if len(noted) == 2:
            raise KeyboardInterrupt
        note(*args, **kwargs)

    monkeypatch.setattr(rotating.connecting, "note", stop_at_the_second)
    with keys(NEW_KEY, old):
        with pytest.raises(KeyboardInterrupt):
            rotate_secrets()
        monkeypatch.undo()
    with keys(NEW_KEY, old):
        assert len(opened()) == 3, "between the two, everything can be read"
        assert counts(rotate_secrets()) == (2, 1, 0, 0)


def test_the_audit_says_whose_secrets_were_encrypted_anew(three: list[str], old: str) -> None:
    with keys(NEW_KEY, old):
        rotate_secrets(by=COMMAND_LINE)

    lines = AuditEvent.objects.filter(action="integration.encrypt_anew").values_list("object_name", "actor_name")
    assert sorted(lines) == [("one", "Command line"), ("three", "Command line"), ("two", "Command line")]


def test_somebody_who_connects_in_a_process_with_the_old_key_first_is_reported(
    three: list[str], old: str, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That process was given the new key already, but behind the old one."""
    rotate, pending = rotating._rotate, [{"webhook_url": f"{URL}-late", "name": "late"}]

    def while_somebody_connects(*args: Any, **kwargs: Any) -> Any:
        if pending:
            with keys(old, NEW_KEY):
                api.post(f"{api.root}/integrations/providers/clay/connect", pending.pop())
        return rotate(*args, **kwargs)

    with keys(NEW_KEY, old):
        names = Webhook.objects.filter(secret__isnull=False).order_by("pk")
        monkeypatch.setattr(rotating, "_rotate", while_somebody_connects)
        first = rotate_secrets()
        second = rotate_secrets()
        assert names.count() == 4

    assert (first.old, first.complete) == (1, False)
    assert counts(second) == (1, 3, 0, 0)


def test_a_process_that_was_not_restarted_can_connect_nobody_and_says_why(three: list[str], old: str, api: Api) -> None:
    with keys(NEW_KEY, old):
        rotate_secrets()

    answer = api.post(f"{api.root}/integrations/providers/clay/connect", {"webhook_url": URL})

    assert answer.status_code == 503
    assert "start this process with the new key" in answer.json()["error"]["message"]
    assert Integration.objects.filter(status="active").count() == 3


def test_rows_of_a_process_that_was_not_restarted_wait_and_none_is_lost(
    api: Api, project: Project, clay: ClaySimulator, old: str
) -> None:
    connect = {"webhook_url": clay.url, "rate_per_second": "unlimited"}
    api.post(f"{api.root}/integrations/providers/clay/connect", connect)
    create_loop(project=project, authored=PUSH_LEADS)
    with keys(NEW_KEY, old):
        rotate_secrets()

    run = api.post(f"{api.root}/loops/push-leads/runs", {"event": {"email": "ada@example.com"}}).json()["id"]
    work_off()

    step = Step.objects.get(run_id=run)
    assert (step.status, step.error_type) == ("suspended", "integration_paused")
    assert "start this process with the new key" in step.error_message
    assert clay.rows == []
    with keys(NEW_KEY, old):  # it is restarted
        Run.objects.update(wake_at=Run.objects.get().created_at)
        work_off()
    assert [row.body["email"] for row in clay.rows] == ["ada@example.com"]
    assert Run.objects.get().status == "completed"


def test_an_unreadable_secret_is_named_and_stops_no_other(three: list[str], old: str) -> None:
    with connection.cursor() as cursor:
        spoilt = Webhook.objects.get(integration__name="two").pk
        cursor.execute("UPDATE integrations_webhooksecret SET url = 'gAAAAspoilt' WHERE webhook_id = %s", [spoilt])

    with keys(NEW_KEY, old):
        done = rotate_secrets()

    assert counts(done) == (2, 0, 0, 1)
    assert done.unreadable == ("platform/two",)
    assert not done.complete
    assert WebhookSecret.objects.filter(pk=spoilt).exists(), "nothing is erased unasked"


def test_without_the_old_key_nothing_is_rotated(three: list[str]) -> None:
    before = ciphertexts()

    with keys(NEW_KEY), pytest.raises(WrongKey):
        rotate_secrets()

    assert ciphertexts() == before


def test_when_the_old_key_is_lost_what_nobody_can_read_is_erased_and_asks_to_be_connected_again(
    three: list[str], api: Api
) -> None:
    with keys(NEW_KEY):
        done = rotate_secrets(forget_unreadable=True)
        prove_key()
        body = {"webhook_url": f"{URL}-one", "name": "one"}
        assert api.post(f"{api.root}/integrations/providers/clay/connect", body).status_code == 200

    assert done.forgotten == ("platform/one", "platform/two", "platform/three")
    assert dict(Integration.objects.values_list("name", "status")) == {
        "one": "active",
        "two": "expired",
        "three": "expired",
    }
    assert WebhookSecret.objects.count() == 1


def test_an_address_is_recognised_after_a_rotation_even_when_its_secret_was_erased(
    three: list[str], old: str, api: Api
) -> None:
    """The count of a webhook is for life: Clay does not forget it either."""
    Webhook.objects.update(used=7)
    one = Integration.objects.get(name="one")
    assert api.delete(f"{api.root}/integrations/{one.pk}").status_code == 204
    with keys(NEW_KEY, old):
        rotate_secrets()

    with keys(NEW_KEY):
        api.post(f"{api.root}/integrations/providers/clay/connect", {"webhook_url": f"{URL}-one", "name": "one"})

        assert Webhook.objects.get(integration__name="one").used == 7
        assert fingerprint(f"{URL}-two") == Webhook.objects.get(integration__name="two").url_fingerprint


# --- callback addresses ---

ASK = {
    "name": "ask",
    "steps": [
        {
            "id": "push",
            "kind": "action",
            "config": {
                "action_name": "clay.webhook.submit",
                "parameters": {"payload": {"a": 1}, "request_id": "r-1", "callback_url": "${{ callback.url }}"},
            },
        },
        {"id": "answer", "kind": "wait_for_event", "config": {"event_type": "clay.callback"}},
    ],
}


@pytest.fixture
def asked(api: Api, project: Project, clay: ClaySimulator) -> str:
    """A row is in Clay, its run waits for the callback; the address that the row holds."""
    connect = {"webhook_url": clay.url, "rate_per_second": "unlimited"}
    api.post(f"{api.root}/integrations/providers/clay/connect", connect)
    create_loop(project=project, authored=ASK)
    api.post(f"{api.root}/loops/ask/runs", {})
    work_off()
    return str(clay.rows[0].body["callback_url"])


def test_a_callback_address_given_out_before_a_rotation_works_after_it(asked: str, api: Api, old: str) -> None:
    with keys(NEW_KEY, old):
        rotate_secrets()
    with keys(NEW_KEY):
        answer = api.post(asked.removeprefix("http://console.test"), {"score": 7})
        work_off()

    assert answer.status_code == 200
    assert Run.objects.get().status == "completed"


def test_a_row_that_is_sent_again_after_a_rotation_bears_the_same_address(asked: str, old: str) -> None:
    """Else the callback of the first one, which may have arrived, would find nothing."""
    step = Step.objects.get(key="push")

    with keys(NEW_KEY, old):
        assert give_address(step) == asked
        new = give_address(Step(id=step.pk))
    assert new != asked, "a step without an address gets one under the first key"


def test_the_command_says_that_steps_under_way_need_the_old_key(
    asked: str, old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Step.objects.filter(key="push").update(status="suspended")

    with keys(NEW_KEY, old):
        said = CliRunner().invoke(main, ["secrets", "rotate"])

    assert said.exit_code == 0
    assert "1 steps under way" in said.output
    assert "take the others out" not in said.output


# --- the command ---


def test_the_command_says_when_the_old_key_may_go(three: list[str], old: str) -> None:
    with keys(NEW_KEY, old):
        said = CliRunner().invoke(main, ["secrets", "rotate"])

    assert said.exit_code == 0
    assert "3 secrets are under the first key now" in said.output
    assert "take the others out of FIELD_ENCRYPTION_KEY" in said.output


def test_the_command_fails_while_an_old_key_is_needed(three: list[str], old: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE integrations_webhooksecret SET auth_header_value = 'gAAAAspoilt'")

    with keys(NEW_KEY, old):
        said = CliRunner().invoke(main, ["secrets", "rotate"])

    assert said.exit_code == 1
    assert "platform/two: none of the keys reads its secret" in said.output
    assert "keep the older keys" in said.output


def test_the_command_refuses_a_wrong_key_and_says_what_to_do(three: list[str]) -> None:
    assert KeyCheck.objects.count() == 1

    with keys(NEW_KEY):
        said = CliRunner().invoke(main, ["secrets", "rotate"])

    assert said.exit_code == 1
    assert "Put the right key back" in said.output
    assert "--forget-unreadable" in said.output
