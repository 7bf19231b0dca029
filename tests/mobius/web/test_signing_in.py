"""Signing in and staying signed in: the lock, what strangers can find out, when a session ends, one's own password."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.auth.hashers import BasePasswordHasher
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from mobius.projects import people
from mobius.projects.auditing import SYSTEM
from mobius.projects.members import add_member, change_role, remove_member
from mobius.projects.models import AuditEvent, Membership, OneTimePassword, Project, Session
from mobius.projects.roles import Role
from tests.cast import PASSWORD

pytestmark = pytest.mark.django_db
HOME = "/projects/platform/"
OWN_PAGE = "/account/password/"
NEW_PASSWORD = "another horse battery staple"


class CountingHasher(BasePasswordHasher):
    """As slow as nothing, and counts how often it was asked."""

    algorithm = "counting"
    asked = 0

    def salt(self) -> str:
        return "salt"

    def encode(self, password: str, salt: str) -> str:
        CountingHasher.asked += 1
        return f"counting${salt}${hashlib.sha256(password.encode()).hexdigest()}"

    def verify(self, password: str, encoded: str) -> bool:
        return self.encode(password, "salt") == encoded

    def must_update(self, encoded: str) -> bool:
        return False

    def harden_runtime(self, password: str, encoded: str) -> None:
        """Nothing to make up for."""


def sign_in(client: Client, name: str = "alice", password: str = PASSWORD, **more: Any) -> Any:
    return client.post("/login/", {"username": name, "password": password}, **more)


def is_in(client: Client) -> bool:
    return client.get(HOME).status_code == 200


@pytest.fixture
def signed_in(client: Client, alice: User) -> Client:
    assert sign_in(client).status_code == 302
    return client


@pytest.fixture
def elsewhere(alice: User) -> Client:
    """Alice's other browser."""
    client = Client()
    assert sign_in(client).status_code == 302
    return client


# --- the lock ---


def test_five_wrong_passwords_lock_the_pair_of_name_and_address_and_nobody_else(
    client: Client, alice: User, bob: User
) -> None:
    answers = [sign_in(client, password="wrong").status_code for _ in range(6)]

    assert answers == [200, 200, 200, 200, 429, 429]
    assert sign_in(client).status_code == 429
    assert sign_in(Client(), name="bob").status_code == 302
    assert sign_in(Client(REMOTE_ADDR="192.0.2.7")).status_code == 302


def test_a_spoofed_address_does_not_get_around_the_lock(client: Client, alice: User) -> None:
    for number in range(5):
        sign_in(client, password="wrong", HTTP_X_FORWARDED_FOR=f"192.0.2.{number}", HTTP_X_REAL_IP=f"192.0.2.{number}")

    assert sign_in(client, HTTP_X_FORWARDED_FOR="192.0.2.99").status_code == 429


def test_another_browser_at_the_same_address_does_not_get_around_the_lock(alice: User) -> None:
    for number in range(5):
        sign_in(Client(), password="wrong", HTTP_USER_AGENT=f"browser {number}")

    assert sign_in(Client()).status_code == 429


def test_the_lock_opens_after_an_hour(client: Client, alice: User) -> None:
    for _ in range(5):
        sign_in(client, password="wrong")

    with time_machine.travel(timezone.now() + timedelta(minutes=61)):
        assert sign_in(client).status_code == 302


def test_whoever_runs_the_server_can_lift_the_lock(client: Client, alice: User) -> None:
    for _ in range(5):
        sign_in(client, password="wrong")
    call_command("axes_reset_username", "alice", verbosity=0)

    assert sign_in(client).status_code == 302


def test_a_success_forgets_the_mistakes_before_it(client: Client, alice: User) -> None:
    for _ in range(3):
        assert [sign_in(Client(), password="wrong").status_code for _ in range(3)] == [200] * 3
        assert sign_in(Client()).status_code == 302


def test_the_locked_page_says_how_to_go_on_also_to_a_script(client: Client, alice: User) -> None:
    for _ in range(5):
        answer = sign_in(client, password="wrong", HTTP_X_REQUESTED_WITH="XMLHttpRequest")

    assert "Wait an hour" in answer.content.decode()
    assert "axes_reset_username" in answer.content.decode()
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    "name", ["a\x00b", "x" * 151, "x" * 200_000, "😀" * 10_000, "<script>", "\ud7ff", "%00", " ", "a\nb", "' OR 1=1 --"]
)
def test_an_odd_name_is_a_wrong_name(client: Client, alice: User, name: str) -> None:
    for _ in range(6):
        answer = sign_in(client, name=name, password="wrong")
        assert answer.status_code in (200, 429)
    assert "<script>" not in answer.content.decode().partition("<main")[2]


def test_a_megabyte_of_a_name_is_more_than_we_take(client: Client) -> None:
    assert sign_in(client, name="x" * 1_000_000).status_code == 413


@pytest.mark.parametrize("header", ["HTTP_USER_AGENT", "HTTP_ACCEPT", "HTTP_X_FORWARDED_FOR", "REMOTE_ADDR"])
def test_odd_headers_are_no_fault_of_ours(client: Client, alice: User, header: str) -> None:
    value = "2001:db8::1" if header == "REMOTE_ADDR" else "x" * 5000

    assert sign_in(client, password="wrong", **{header: value}).status_code == 200
    assert sign_in(client, **{header: value}).status_code == 302


@pytest.mark.parametrize(("network", "other"), [("2001:db8:1:2", "2001:db8:1:3"), ("::ffff:192.0.2.7", "192.0.2.8")])
def test_whoever_has_a_network_of_addresses_has_five_tries_with_all_of_them(
    alice: User, network: str, other: str
) -> None:
    def address(number: int) -> str:
        return network if "." in network else f"{network}::{number:x}"

    for number in range(5):
        sign_in(Client(REMOTE_ADDR=address(number)), password="wrong")

    assert sign_in(Client(REMOTE_ADDR=address(99))).status_code == 429
    assert sign_in(Client(REMOTE_ADDR=other if "." in other else f"{other}::1")).status_code == 302


def test_a_lock_says_when_it_opens_and_knocking_does_not_prolong_it(alice: User) -> None:
    now = timezone.now()
    with time_machine.travel(now, tick=False):
        locked = [sign_in(Client(), password="wrong") for _ in range(5)][-1]
    with time_machine.travel(now + timedelta(minutes=40), tick=False):
        knocked = sign_in(Client(), password="wrong")
    with time_machine.travel(now + timedelta(minutes=59), tick=False):
        assert sign_in(Client()).status_code == 429
    with time_machine.travel(now + timedelta(seconds=int(knocked.headers["Retry-After"]) + 2401), tick=False):
        assert sign_in(Client()).status_code == 302

    assert [one.headers["Retry-After"] for one in (locked, knocked)] == ["3600", "1200"]


def test_what_is_kept_of_wrong_passwords_does_not_grow_while_somebody_goes_on(client: Client, alice: User) -> None:
    sizes = []
    for number in range(40):
        sign_in(client, password="wrong", QUERY_STRING="next=" + "x" * 5_000)
        sizes.append((number, sum(len(str(row)) for row in AccessAttempt.objects.values_list())))

    assert sizes[-1][1] == sizes[4][1] < 20_000


def test_one_password_cannot_be_tried_with_every_name(client: Client, alice: User) -> None:
    """Nobody of them is locked, and each try would cost a quarter of a second."""
    now = timezone.now()
    with time_machine.travel(now, tick=False):
        answers = [sign_in(client, name=f"name{number}", password="letmein") for number in range(62)]
        assert sign_in(client).status_code == 429
        assert sign_in(Client(REMOTE_ADDR="192.0.2.9")).status_code == 302
        refused = answers[-1]
    with time_machine.travel(now + timedelta(seconds=int(refused.headers["Retry-After"]) + 0.1), tick=False):
        assert sign_in(client).status_code == 302

    assert [one.status_code for one in answers] == [200] * 60 + [429] * 2
    assert refused.headers["Retry-After"] == "1"
    assert "Too many sign-ins" in refused.content.decode()


# --- what strangers can find out ---


@pytest.fixture
def hasher(settings: Any) -> type[CountingHasher]:
    settings.PASSWORD_HASHERS = [f"{__name__}.CountingHasher"]
    CountingHasher.asked = 0
    return CountingHasher


def test_an_unknown_name_a_wrong_password_and_a_switched_off_account_are_answered_alike_and_take_as_long(
    hasher: type[CountingHasher], alice: User, project: Project
) -> None:
    User.objects.create_user("gone", password=PASSWORD, is_active=False)
    answers, work = [], []
    for name, password in (("nobody", PASSWORD), ("alice", "wrong"), ("gone", PASSWORD), ("gone", "wrong")):
        hasher.asked = 0
        answer = sign_in(Client(), name=name, password=password)
        work.append(hasher.asked)
        token = answer.context["csrf_token"]
        page = answer.content.decode().replace(str(token), "").replace(name, "")
        answers.append((answer.status_code, "".join(line for line in page.splitlines() if "csrf" not in line)))

    assert work == [1, 1, 1, 1]
    assert len(set(answers)) == 1
    assert "The user name or the password is wrong." in answers[0][1]


def test_an_unknown_name_is_locked_like_a_known_one(alice: User) -> None:
    def after_five(name: str) -> Any:
        for _ in range(5):
            answer = sign_in(Client(), name=name, password="wrong")
        return answer.status_code, answer.content.decode().replace(name, "")

    assert after_five("alice") == after_five("nobody")


# --- the audit ---


def test_signing_in_and_locks_are_audited_without_what_strangers_typed(client: Client, alice: User) -> None:
    sign_in(client, REMOTE_ADDR="192.0.2.7")
    for name in ("alice", "my-password-typed-into-the-wrong-field"):
        for _ in range(7):
            sign_in(Client(), name=name, password="wrong")

    events = list(AuditEvent.objects.order_by("id").values_list("action", "object_id", "actor_id", "ip", "project_id"))
    assert events == [
        ("user.sign_in", "alice", "alice", "192.0.2.7", None),
        ("user.lock_out", "alice", "", "127.0.0.1", None),
    ]


# --- when a session ends ---


def test_a_session_ends_after_twelve_hours_however_busy_it_was(signed_in: Client) -> None:
    start = timezone.now()
    for minutes in range(0, 12 * 60, 60):
        with time_machine.travel(start + timedelta(minutes=minutes)):
            assert is_in(signed_in), minutes

    with time_machine.travel(start + timedelta(minutes=12 * 60 + 1)):
        assert not is_in(signed_in)


def test_a_session_ends_when_nobody_has_done_anything_for_two_hours(signed_in: Client) -> None:
    with time_machine.travel(timezone.now() + timedelta(minutes=119)):
        assert is_in(signed_in)
    with time_machine.travel(timezone.now() + timedelta(minutes=119 + 121)):
        answer = signed_in.get(HOME)

    assert answer.headers["Location"] == f"/login/?next={HOME}"
    assert not Session.objects.exists()


def test_a_page_that_refreshes_itself_keeps_no_session_alive(signed_in: Client) -> None:
    start = timezone.now()
    for minutes in range(0, 120, 10):
        with time_machine.travel(start + timedelta(minutes=minutes)):
            assert signed_in.get(HOME, HTTP_HX_REQUEST="true").status_code == 200

    with time_machine.travel(start + timedelta(minutes=121)):
        assert signed_in.get(HOME, HTTP_HX_REQUEST="true").status_code == 204


def test_a_session_that_is_used_is_written_only_now_and_then(signed_in: Client) -> None:
    start, kept = timezone.now(), [Session.objects.values_list("session_data", flat=True).get()]
    for minutes in (4, 6):
        with time_machine.travel(start + timedelta(minutes=minutes)):
            signed_in.get(HOME)
        kept.append(Session.objects.values_list("session_data", flat=True).get())

    assert kept[0] == kept[1] != kept[2], "every five minutes"


def test_signing_in_makes_a_new_session(client: Client, alice: User) -> None:
    client.cookies[settings.SESSION_COOKIE_NAME] = "planted0by0somebody0else00000000"
    sign_in(client)

    assert client.cookies[settings.SESSION_COOKIE_NAME].value != "planted0by0somebody0else00000000"
    assert is_in(client)


def test_a_change_of_role_or_membership_ends_every_session_of_the_person_and_of_nobody_else(
    signed_in: Client, elsewhere: Client, alice: User, bob: User, project: Project
) -> None:
    other = Client()
    sign_in(other, name="bob")
    change_role(Membership.objects.get(user=bob), Role.ADMIN, by=SYSTEM)
    assert not is_in(other)
    sign_in(other, name="bob")

    change_role(Membership.objects.get(user=alice), Role.VIEWER, by=SYSTEM)
    assert not is_in(signed_in)
    assert not is_in(elsewhere)
    assert is_in(other)

    sign_in(signed_in)
    remove_member(Membership.objects.get(user=alice), by=SYSTEM)
    assert signed_in.get("/").status_code == 302
    assert "_auth_user_id" not in signed_in.session


def test_an_account_that_is_switched_off_is_out_at_once(signed_in: Client, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)

    assert not is_in(signed_in)


# --- one's own password ---


def changes(**more: str) -> dict[str, str]:
    return {"old_password": PASSWORD, "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD} | more


def test_a_new_password_signs_out_every_other_browser(signed_in: Client, elsewhere: Client, alice: User) -> None:
    answer = signed_in.post(OWN_PAGE, changes(), follow=True)

    assert "Your password is changed." in answer.content.decode()
    assert is_in(signed_in)
    assert not is_in(elsewhere)
    assert sign_in(Client()).status_code == 200
    assert sign_in(Client(), password=NEW_PASSWORD).status_code == 302
    event = AuditEvent.objects.get(action="user.change_password")
    assert (event.actor_id, event.object_id, event.changed) == ("alice", "alice", ["password"])


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"old_password": "wrong"}, "Your old password was entered incorrectly"),
        ({"new_password2": "different"}, "The two password fields"),
        ({"new_password1": "short", "new_password2": "short"}, "too short"),
        ({"new_password1": PASSWORD, "new_password2": PASSWORD}, "your present password"),
        ({"new_password1": "", "new_password2": ""}, "This field is required"),
    ],
)
def test_a_password_that_cannot_be_taken_is_explained_and_never_repeated(
    signed_in: Client, elsewhere: Client, wrong: dict[str, str], sentence: str
) -> None:
    answer = signed_in.post(OWN_PAGE, changes(**wrong))

    page = answer.content.decode()
    assert answer.status_code == 422
    assert sentence in page
    assert PASSWORD not in page
    assert is_in(elsewhere)
    assert not AuditEvent.objects.filter(action="user.change_password").exists()


def test_the_password_page_is_not_for_strangers(client: Client) -> None:
    assert client.get(OWN_PAGE).headers["Location"] == f"/login/?next={OWN_PAGE}"
    assert client.post(OWN_PAGE, changes()).headers["Location"].startswith("/login/")
    assert client.get("/admin/password_change/").headers["Location"] in (OWN_PAGE, f"/login/?next={OWN_PAGE}")


@pytest.fixture
def dora(project: Project) -> str:
    """Has an account with a one-time password, which is returned."""
    password = people.new_password()
    people.create_user(name="dora", password=password, one_time=True, by=SYSTEM)
    add_member(project=project, name="dora", role=Role.ADMIN, by=SYSTEM)
    return password


def test_a_one_time_password_opens_only_the_page_that_replaces_it(client: Client, dora: str) -> None:
    sign_in(client, name="dora", password=dora)

    for path in (HOME, "/", f"{HOME}govern/api-keys/", "/admin/"):
        assert client.get(path).headers["Location"] == OWN_PAGE, path
    assert client.post(f"{HOME}govern/api-keys/", {"name": "x", "role": "admin"}).headers["Location"] == OWN_PAGE
    assert "Choose your password" in client.get(OWN_PAGE).content.decode()

    client.post(OWN_PAGE, changes(old_password=dora))
    assert is_in(client)
    assert not OneTimePassword.objects.exists()
    assert sign_in(Client(), name="dora", password=dora).status_code == 200


def test_whoever_got_a_one_time_password_can_still_log_out(client: Client, dora: str) -> None:
    sign_in(client, name="dora", password=dora)

    assert client.post("/logout/").headers["Location"] == "/login/"
    assert "_auth_user_id" not in client.session
