"""The dry run says what would happen to every row, and sends nothing."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext

from integrations.connecting import disconnect
from integrations.models import Integration, Webhook
from integrations.providers.clay.simulator import ClaySimulator
from loops.models import Push, PushRow, Run
from loops.pushing import checking, drafting, operating
from loops.pushing.checking import NotNow
from loops.pushing.mapping import Mapping
from loops.pushing.reading import FileUnreadable
from mobius.errors import Conflict, PayloadTooLarge
from mobius.projects.auditing import SYSTEM
from tests.loops.pushing.pushes import LEADS, checked, drafted, leads, reasons, started, states, to_the_end


def counts(push: Push) -> dict[str, Any]:
    return {kind: one["count"] for kind, one in push.report["reasons"].items()}


def test_it_finds_every_row_ready_and_sends_nothing(integration: Integration, clay: ClaySimulator) -> None:
    push = checked(integration)

    assert push.state == "checked"
    assert push.report == {"ready": 3, "reasons": {}}
    assert states(push) == ["waiting"] * 3
    assert not clay.rows
    assert not Run.objects.exists()


def test_each_row_that_cannot_go_is_counted_named_by_its_line_and_left_out(integration: Integration) -> None:
    text = (
        "request_id,Email\nr1,ada@example.com\nr1,other@example.com\n,nobody@example.com\nr4\n"
        f"r5,{'x' * 110_000}\nr6,${{{{ callback.url }}}}\n{'r' * 256},too@long\n"
    )

    push = checked(integration, text)

    assert push.report["ready"] == 1
    assert counts(push) == {"unreadable": 1, "twice_in_the_file": 1, "no_request_id": 1, "too_large": 1, "refused": 2}
    assert reasons(push)[3] == "Its request_id r1 stands in line 2 already."
    assert reasons(push)[6].startswith("The row has 110,0")
    assert push.report["reasons"]["no_request_id"]["examples"] == [
        {"line": 4, "reason": "Its cell request_id is empty, so nobody could tell it from other rows."}
    ]
    assert states(push) == ["waiting", *["left_out"] * 6]


def test_rows_that_were_sent_before_are_left_out_and_other_content_under_their_id_is_told(
    integration: Integration,
) -> None:
    to_the_end(started(integration))
    changed = LEADS.replace("grace@", "hopper@") + "r4,new@example.com\n"

    push = checked(integration, changed)

    assert push.report["ready"] == 2
    assert counts(push) == {"sent_before": 2, "other_content": 1}
    assert states(push) == ["left_out", "waiting", "left_out", "waiting"]


def test_the_order_of_columns_makes_no_other_row(integration: Integration) -> None:
    to_the_end(started(integration, "request_id,Email\nr1,ada@example.com\n"))

    assert counts(checked(integration, "Email,request_id\nada@example.com,r1\n")) == {"sent_before": 1}


def test_without_a_request_id_nothing_is_told_apart(integration: Integration) -> None:
    push = checked(integration, "Email\na@b.c\na@b.c\n")

    assert push.report == {"ready": 2, "reasons": {}}


def test_another_mapping_judges_every_row_anew(integration: Integration) -> None:
    text = "id,Email\n1,a@b.c\n1,d@e.f\n"
    push = checked(integration, text, request_id="id")
    assert states(push) == ["waiting", "left_out"]

    again = checking.check(push, Mapping.usual(push.columns), by=SYSTEM)

    assert again.report["ready"] == 2
    assert states(push) == ["waiting", "waiting"]
    assert reasons(push) == {}


def test_it_says_what_starting_costs(integration: Integration) -> None:
    Webhook.objects.update(submission_limit=50, used=48)
    integration.pacer.rate_per_second, integration.pacer.burst = 10, 1
    integration.pacer.save()

    queue = checking.forecast(checked(integration, leads(101)))

    assert queue is not None
    assert queue.rows == 101
    assert queue.usage is not None
    assert queue.usage.left == 2
    assert queue.missing == 99
    assert queue.takes is not None
    assert queue.takes.total_seconds() == 10


def test_a_push_that_was_started_is_not_mapped_again(integration: Integration) -> None:
    push = started(integration)

    with pytest.raises(NotNow):
        checking.check(push, Mapping.usual(push.columns), by=SYSTEM)


def test_a_push_that_somebody_has_just_discarded_is_said_to_be(integration: Integration) -> None:
    push = drafted(integration)
    operating.cancel(Push.objects.get(), by=SYSTEM)

    with pytest.raises(NotNow, match="was discarded"):
        checking.check(push, Mapping.usual(push.columns), by=SYSTEM)


def test_a_dry_run_that_is_overtaken_writes_nothing(integration: Integration) -> None:
    push = drafted(integration, "id,Email\n1,a@b.c\n1,d@e.f\n")
    begun = checking._begin(push, Mapping.usual(push.columns), SYSTEM)
    later = checking.check(push, Mapping.usual(push.columns), by=SYSTEM)

    with pytest.raises(Conflict, match="Somebody else has changed this push"):
        checking._demand_mine(begun)
    assert later.state == "checked"


def test_a_disconnected_integration_is_said_before_anything_is_checked(integration: Integration) -> None:
    push = drafted(integration)
    disconnect(integration)
    gone = Push.objects.get()

    assert gone.integration is None
    with pytest.raises(Conflict, match="is disconnected"):
        checking.check(gone, Mapping.usual(push.columns), by=SYSTEM)
    assert checking.forecast(gone) is None


def test_a_file_that_cannot_be_read_leaves_nothing_behind(integration: Integration) -> None:
    with pytest.raises(FileUnreadable):
        drafted(integration, leads(1200) + 'r,"open\n')

    assert not Push.objects.exists()
    assert not PushRow.objects.exists()


def test_a_file_that_is_too_large_is_refused_before_it_is_read(integration: Integration) -> None:
    with pytest.raises(PayloadTooLarge):
        drafting.draft(
            integration=integration, file=SimpleUploadedFile("x", b"a").file, name="x", size=26 * 2**20, by=SYSTEM
        )


def test_a_large_file_is_stored_in_batches_and_judged_whole(integration: Integration) -> None:
    push = checked(integration, leads(1201))

    assert push.rows == 1201
    assert push.report == {"ready": 1201, "reasons": {}}


def test_a_large_file_is_stored_and_judged_in_few_statements_also_when_nothing_of_it_can_go(
    integration: Integration,
) -> None:
    text = "request_id,Email\n" + "".join(f"r1,lead{number}@example.com\n" for number in range(1201))
    with CaptureQueriesContext(connection) as asked:
        push = checked(integration, text)

    assert counts(push) == {"twice_in_the_file": 1200}
    assert len(asked) < 50
    assert not any("CASE WHEN" in query["sql"] for query in asked), "that takes as long as it is long"


@pytest.mark.parametrize("name", ["C:\\Users\\ada\\leads.csv", "/home/ada/leads.csv", "leads.csv\x00"])
def test_a_file_s_name_is_kept_without_its_folders(integration: Integration, name: str) -> None:
    assert drafted(integration).name == "leads.csv"
    assert drafting._clean(name) == "leads.csv"


def test_a_push_without_a_row_that_can_go_cannot_be_started(integration: Integration) -> None:
    with pytest.raises(Conflict, match="No row of the file can be sent"):
        operating.start(checked(integration, "request_id,Email\n,a@b.c\n"), by=SYSTEM)
