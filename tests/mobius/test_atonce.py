"""How much of one thing a process does at once."""

from __future__ import annotations

import pytest

from mobius.atonce import AtOnce
from mobius.errors import RateLimitExceeded


def test_whoever_comes_when_it_is_full_is_asked_to_come_back() -> None:
    two = AtOnce(2, "lifts")
    leave = two.enter()
    two.enter()

    with pytest.raises(RateLimitExceeded, match="2 lifts are under way already"):
        two.enter()

    leave()
    two.enter()


def test_leaving_twice_frees_one_place() -> None:
    one = AtOnce(1, "lifts")
    leave = one.enter()
    leave()
    leave()

    one.enter()
    with pytest.raises(RateLimitExceeded):
        one.enter()


def test_a_block_leaves_also_when_it_fails() -> None:
    one = AtOnce(1, "lifts")
    with pytest.raises(ValueError, match="stuck"), one.one():
        raise ValueError("stuck")

    with one.one():
        pass
