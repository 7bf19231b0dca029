"""The pages of a loop's versions: what each was, what it changed, and the way back to it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from loops.authoring import create_loop, update_loop
from loops.console.differences import Change, differences
from loops.models import Loop
from mobius.projects.models import Project
from tests.cast import PUSH_LEADS

pytestmark = pytest.mark.django_db

HANDLE = "a-handle-that-its-author-chose"


@pytest.fixture
def loop(push_leads: Loop) -> Loop:
    """Three versions: as it was, with a description, and with another name."""
    update_loop(push_leads, {"description": "Every <lead>"})
    return update_loop(push_leads, {"name": "pull-leads"})


def page_of(loop: Loop, number: int = 0) -> str:
    return f"/projects/platform/build/loops/{loop.pk}/" + (f"versions/{number}/" if number else "")


def text(response: Any) -> str:
    return str(response.content.decode())


def changed(response: Any) -> list[str]:
    shown = response.context["differences"]
    return [f"{line.change.word} {line.text.strip()}" for line in shown.lines if line.change.word]


# --- what changed ----------------------------------------------------------------------------------------------------


def test_a_version_says_in_words_what_it_changed_of_the_one_before(admin: Client, loop: Loop) -> None:
    response = admin.get(page_of(loop, 3))

    assert changed(response) == ['Removed "name": "push-leads",', 'Added "name": "pull-leads",']
    page = text(response)
    assert "From version 2 to version 3: 1 line added, 1 line removed" in page
    assert '<span class="word">Removed</span>' in page
    assert "This is the current version." in page
    assert "Every &lt;lead&gt;" in page


def test_any_two_versions_can_be_compared_in_either_direction(admin: Client, loop: Loop) -> None:
    forth = changed(admin.get(page_of(loop, 2), {"against": "1"}))
    back = changed(admin.get(page_of(loop, 1), {"against": "2"}))

    assert '"description": "Every <lead>"' in " ".join(forth)
    assert [one.split(" ", 1)[1] for one in forth if one.startswith("Added")] == [
        one.split(" ", 1)[1] for one in back if one.startswith("Removed")
    ]


def test_the_first_version_has_none_before_it_and_one_that_is_not_there_is_not_found(admin: Client, loop: Loop) -> None:
    assert "This is the first version" in text(admin.get(page_of(loop, 1)))
    assert "There is no such version to compare with" in text(admin.get(page_of(loop, 2), {"against": "77"}))
    assert admin.get(page_of(loop, 77)).status_code == 404
    assert admin.get(page_of(loop, 10**40)).status_code == 404
    assert admin.post(page_of(loop, 77) + "restore/").status_code == 404


def test_the_loop_lists_its_versions_and_leads_to_them(admin: Client, loop: Loop) -> None:
    assert f'href="{page_of(loop, 1)}">Version 1</a>' in text(admin.get(page_of(loop)))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("a\nb", "a\nb", []),
        ("a\nb\nc", "a\nx\nc", [("same", 1, 1), ("removed", 2, None), ("added", None, 2), ("same", 3, 3)]),
        ("a", "a\nb", [("same", 1, 1), ("added", None, 2)]),
    ],
)
def test_lines_have_the_numbers_of_both_sides(before: str, after: str, expected: list[Any]) -> None:
    assert [(line.change, line.before, line.after) for line in differences(before, after).lines] == expected


def test_what_is_far_from_a_change_is_left_out_and_so_is_what_nobody_would_read() -> None:
    numbers = [str(number) for number in range(100)]

    found = differences("\n".join(numbers), "\n".join([*numbers[:50], "x" * 5_000, *numbers[50:]]))
    assert [line.change for line in found.lines].count(Change.GAP) == 2
    assert len(found.lines) == 1 + 3 + 1 + 3 + 1
    assert max(len(line.text) for line in found.lines) == 1_001

    many = differences("\n".join(f"a{one}" for one in range(3_000)), "\n".join(f"b{one}" for one in range(3_000)))
    assert (len(many.shown), many.left_out) == (2_000, 4_000)


# --- who sees what ---------------------------------------------------------------------------------------------------


def test_a_viewer_reads_every_version_but_no_secret_handle_and_changes_nothing(
    client: Client, vera: User, project: Project
) -> None:
    hook = {"kind": "http", "config": {"http_handle": HANDLE}}
    loop = create_loop(project=project, authored=PUSH_LEADS | {"triggers": [hook]})
    update_loop(loop, {"triggers": [hook | {"name": "the form"}]})
    client.force_login(vera)

    page = text(client.get(page_of(loop, 2)))

    assert "the form" in page
    assert HANDLE not in page
    assert "Make this the current version again" not in text(client.get(page_of(loop, 1)))
    assert client.post(page_of(loop, 1) + "restore/").status_code == 403
    assert loop.versions.count() == 2


def test_strangers_find_no_version(client: Client, charlie: User, loop: Loop) -> None:
    client.force_login(charlie)

    assert client.get(page_of(loop, 1)).status_code == 404
    assert client.post(page_of(loop, 1) + "restore/").status_code == 404


# --- the way back ----------------------------------------------------------------------------------------------------


def test_an_earlier_version_is_made_current_again_as_a_new_version(admin: Client, loop: Loop) -> None:
    asked = admin.get(page_of(loop, 1) + "restore/")
    assert "is saved as version 4. No version is lost." in text(asked)
    assert loop.versions.count() == 3

    done = admin.post(page_of(loop, 1) + "restore/", {"version": "3"}, follow=True)

    assert "Saved as version 4: the loop is again what version 1 was." in text(done)
    loop.refresh_from_db()
    assert loop.name == "push-leads"
    assert loop.current_version is not None
    assert loop.current_version.spec == PUSH_LEADS  # the description, which it did not have, is gone
    assert "The two versions are the same." in text(admin.get(page_of(loop, 4), {"against": "1"}))


def test_nothing_is_made_current_over_what_somebody_else_has_saved(admin: Client, loop: Loop) -> None:
    update_loop(loop, {"description": "Theirs"})

    refused = admin.post(page_of(loop, 1) + "restore/", {"version": "3"})

    assert refused.status_code == 422
    assert "Somebody saved version 4" in text(refused)
    assert loop.versions.count() == 4


def test_the_current_version_needs_no_way_back(admin: Client, loop: Loop) -> None:
    answer = admin.post(page_of(loop, 3) + "restore/", follow=True)

    assert "Version 3 is the current one already." in text(answer)
    assert loop.versions.count() == 3


def test_a_version_that_this_console_no_longer_takes_is_refused_with_the_reason(admin: Client, loop: Loop) -> None:
    old = loop.versions.get(number=1)
    old.spec = json.loads(json.dumps(PUSH_LEADS).replace("clay.webhook.submit", "clay.gone"))
    old.save()

    refused = admin.post(page_of(loop, 1) + "restore/", {"version": "3"})

    assert refused.status_code == 422
    assert "There is no action `clay.gone`" in text(refused)
