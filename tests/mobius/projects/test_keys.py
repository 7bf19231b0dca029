"""API keys: making, recognising and revoking them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import time_machine
from django.db import DatabaseError
from django.db.models import QuerySet
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from mobius.errors import AlreadyExists, InvalidFields, Unauthorized
from mobius.projects import keys
from mobius.projects.key_models import ApiKey, ServicePrincipal
from mobius.projects.keys import create_key, recognise, revoke
from mobius.projects.models import Project
from mobius.projects.principals import default_principal
from mobius.projects.roles import Role


@pytest.fixture
def key(project: Project) -> keys.NewKey:
    return create_key(project=project, name="clay", role=Role.RUN)


def test_a_key_is_its_prefix_256_bits_and_a_checksum(key: keys.NewKey) -> None:
    assert re.fullmatch(r"mbx_[\w-]{43}[0-9a-f]{6}", key.text)
    assert "." not in key.text
    assert key.record.key_prefix == key.text[:8]
    assert key.record.masked == f"{key.text[:8]}…{key.text[-4:]}"


def test_only_the_digest_is_stored(key: keys.NewKey) -> None:
    stored = ApiKey.objects.values().get()

    assert key.text not in str(stored)
    assert stored["digest"] == keys.digest(key.text)


def test_neither_a_record_nor_a_new_key_shows_its_text(key: keys.NewKey) -> None:
    for shown in (repr(key), str(key), repr(key.record), str(key.record)):
        assert key.text not in shown
        assert key.record.digest not in shown


def test_a_key_is_recognised_with_its_project_in_one_query(
    key: keys.NewKey, project: Project, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    recognise(key.text)

    with django_assert_num_queries(1):
        found = recognise(key.text)
        assert found.project == project
    assert found.role == Role.RUN


def test_a_key_may_carry_its_project_s_handle(key: keys.NewKey) -> None:
    assert recognise(f"{key.text}.platform") == key.record


@pytest.mark.parametrize("suffix", [".elsewhere", ".platform.x", ".Platform", ". platform"])
def test_another_handle_is_refused(key: keys.NewKey, other_project: Project, suffix: str) -> None:
    with pytest.raises(Unauthorized):
        recognise(key.text + suffix)


def test_a_typing_error_is_refused_without_a_query(
    key: keys.NewKey, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    other = "b" if key.text[20] == "a" else "a"
    wrong = [
        key.text[:20] + other + key.text[21:],
        key.text[:-1],
        key.text + "0",
        key.text.upper(),
        key.text[4:],
        "",
        "mbx_",
        "mbx_" + "é" * 49,
        key.text + "." + "x" * 200,
    ]

    with django_assert_num_queries(0):
        for text in wrong:
            with pytest.raises(Unauthorized):
                recognise(text)


def test_a_well_formed_key_that_nobody_made_is_refused(key: keys.NewKey) -> None:
    with pytest.raises(Unauthorized):
        recognise(keys._new_text())


def test_a_revoked_key_is_refused_at_once_and_its_record_stays(key: keys.NewKey) -> None:
    recognise(key.text)

    revoked = revoke(key.record)

    with pytest.raises(Unauthorized):
        recognise(key.text)
    moment = revoked.revoked_at
    assert revoke(revoked).revoked_at == moment
    assert ApiKey.objects.get().revoked_at == moment


def test_an_expired_key_is_refused(project: Project) -> None:
    key = create_key(project=project, name="short", role=Role.RUN, expires_at=timezone.now() + timedelta(hours=1))
    recognise(key.text)

    with time_machine.travel(timezone.now() + timedelta(hours=1, seconds=1)), pytest.raises(Unauthorized):
        recognise(key.text)


def test_every_refusal_reads_alike(key: keys.NewKey) -> None:
    revoke(key.record)
    sentences = set()
    for text in ("", "nonsense", keys._new_text(), key.text, f"{key.text}.elsewhere"):
        with pytest.raises(Unauthorized) as refusal:
            recognise(text)
        sentences.add(refusal.value.message)

    assert len(sentences) == 1


def test_use_is_noted_but_not_at_every_request(key: keys.NewKey) -> None:
    with time_machine.travel(timezone.now(), tick=False) as now:
        recognise(key.text)
        first = ApiKey.objects.get().last_used_at
        now.shift(timedelta(minutes=4))
        recognise(key.text)
        assert ApiKey.objects.get().last_used_at == first
        now.shift(timedelta(minutes=2))
        recognise(key.text)
        assert ApiKey.objects.get().last_used_at == timezone.now()


def test_a_request_does_not_fail_because_its_use_cannot_be_noted(
    key: keys.NewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise DatabaseError

    monkeypatch.setattr(QuerySet, "update", fail)

    assert recognise(key.text) == key.record


@pytest.mark.parametrize("name", ["", "   "])
def test_a_key_needs_a_name(project: Project, name: str) -> None:
    with pytest.raises(InvalidFields, match="Give the key a name"):
        create_key(project=project, name=name, role=Role.RUN)


def test_a_name_is_taken_by_a_live_key_only(project: Project, other_project: Project, key: keys.NewKey) -> None:
    with pytest.raises(AlreadyExists, match="clay"):
        create_key(project=project, name=" clay ", role=Role.ADMIN)
    create_key(project=other_project, name="clay", role=Role.RUN)

    revoke(key.record)

    assert create_key(project=project, name="clay", role=Role.RUN).text != key.text


def test_an_expiry_must_lie_ahead(project: Project) -> None:
    with pytest.raises(InvalidFields, match="has passed"):
        create_key(project=project, name="late", role=Role.RUN, expires_at=timezone.now())


def test_keys_act_as_the_project_s_principal_unless_another_is_chosen(project: Project) -> None:
    mine = ServicePrincipal.objects.create(project=project, name="robot")

    first = create_key(project=project, name="a", role=Role.RUN)
    second = create_key(project=project, name="b", role=Role.RUN, principal=mine)

    assert first.record.principal == default_principal(project)
    assert second.record.principal == mine
    assert project.principals.count() == 2
