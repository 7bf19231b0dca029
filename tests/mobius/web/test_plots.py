"""Plots that the server draws."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius.web.plots import HEIGHT, WIDTH, Column, stacked_bars


def column(*numbers: int) -> Column:
    return Column(name="1 Nov", title="", parts=tuple(zip(["good", "doubt", "bad"], numbers, strict=False)))


@pytest.mark.parametrize(
    ("most", "highest"), [(0, "4"), (4, "4"), (5, "8"), (17, "20"), (21, "40"), (5_000, "8,000"), (50_001, "80,000")]
)
def test_the_scale_ends_at_a_round_number(most: int, highest: str) -> None:
    lines = stacked_bars([column(most)]).lines

    assert (lines[0].label, lines[-1].label, len(lines)) == ("0", highest, 5)


@given(st.lists(st.tuples(*[st.integers(0, 10**7)] * 3), min_size=1, max_size=31))
def test_bars_stay_inside_the_picture_and_their_parts_upon_each_other(columns: list[Any]) -> None:
    plot = stacked_bars([column(*numbers) for numbers in columns])

    for bar, numbers in zip(plot.bars, columns, strict=True):
        assert plot.left <= bar.x <= bar.x + plot.bar_width <= WIDTH
        assert len(bar.pieces) == sum(number > 0 for number in numbers)
        floor = float(plot.floor)
        for piece in bar.pieces:
            assert piece.height >= 2
            assert piece.y + piece.height == pytest.approx(floor, abs=0.03)
            floor = piece.y
        assert floor >= 0
    assert plot.floor < HEIGHT
