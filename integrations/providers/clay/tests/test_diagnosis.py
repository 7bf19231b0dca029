"""What Clay's answers mean, in words for a person who is not an engineer, and the one thing to do."""

from __future__ import annotations

import pytest

from integrations.providers.clay.diagnosis import diagnose
from integrations.providers.contract import Exchange, Failure


def answered(status: int, body: bytes = b"") -> Exchange:
    return Exchange(request_began=True, status=status, body=body)


@pytest.mark.parametrize(
    ("status", "cause", "fix"),
    [
        (400, "content type", "below 100 KB"),
        (401, "token is missing or wrong", "x-clay-webhook-auth"),
        (403, "does not explain", "Open the webhook's source"),
        (404, "no webhook at this URL", "Copy the whole URL"),
        (410, "gone", "Make a new webhook"),
        (413, "too large", "100 KB"),
        (429, "faster than your Clay workspace takes them", "lower the pace"),
        (302, "sent us elsewhere", "final URL"),
        (500, "may or may not have arrived", "before you send it again"),
        (503, "may or may not have arrived", "before you send it again"),
        (418, "did not say why", "Check the URL and the row"),
    ],
)
def test_each_status_has_its_cause_and_its_fix(status: int, cause: str, fix: str) -> None:
    diagnosis = diagnose(answered(status))

    assert cause in diagnosis.cause
    assert fix in diagnosis.fix
    assert not diagnosis.at_limit


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_a_success_needs_nothing(status: int) -> None:
    diagnosis = diagnose(answered(status))

    assert (diagnosis.cause, diagnosis.fix) == ("Clay accepted the row.", "")


@pytest.mark.parametrize(
    "body", [b"Record limit reached for webhook", b'{"message":"record limit REACHED for webhook"}']
)
def test_clay_s_limit_is_told_from_other_403s_by_its_text(body: bytes) -> None:
    diagnosis = diagnose(answered(403, body))

    assert diagnosis.at_limit
    assert "50,000" in diagnosis.cause
    assert "new webhook" in diagnosis.fix


def test_the_limit_text_means_nothing_under_another_status() -> None:
    assert not diagnose(answered(400, b"Record limit reached")).at_limit


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (Failure.UNREACHABLE, "does not resolve"),
        (Failure.CONNECT, "refused the connection"),
        (Failure.CONNECT_TIMEOUT, "within 5 seconds"),
        (Failure.TLS, "certificate"),
        (Failure.WITHHELD, "Nothing was sent"),
    ],
)
def test_what_was_never_sent_says_why(failure: Failure, words: str) -> None:
    diagnosis = diagnose(Exchange(request_began=False, failure=failure))

    assert words in diagnosis.cause
    assert "may or may not" not in diagnosis.cause


@pytest.mark.parametrize("failure", [Failure.TIMEOUT, Failure.RESET, Failure.BAD_ANSWER, Failure.CRASHED, None])
def test_what_got_no_answer_may_have_arrived(failure: Failure | None) -> None:
    diagnosis = diagnose(Exchange(request_began=True, failure=failure))

    assert "may or may not have arrived" in diagnosis.cause
    assert "Look for the row in Clay" in diagnosis.fix
