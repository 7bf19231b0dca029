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
    ("most", "labels"),
    [
        (0, "0 1 2"),
        (1, "0 1 2"),
        (3, "0 1 2 3"),
        (5, "0 1 2 3 4 5"),
        (6, "0 2 4 6"),
        (11, "0 5 10 15"),
        (21, "0 5 10 15 20 25"),
        (101, "0 25 50 75 100 125"),
        (2_100, "0 500 1,000 1,500 2,000 2,500"),
        (5_001, "0 2,000 4,000 6,000"),
        (10_001, "0 2.5k 5k 7.5k 10k 12.5k"),
        (50_001, "0 20k 40k 60k"),
        (9_000_001, "0 2M 4M 6M 8M 10M"),
    ],
)
def test_the_scale_ends_at_the_next_round_number(most: int, labels: str) -> None:
    assert " ".join(line.label for line in stacked_bars([column(most)]).lines) == labels


@given(st.integers(2, 10**9))
def test_the_highest_bar_fills_the_plot(most: int) -> None:
    plot = stacked_bars([column(most)])

    assert 3 <= len(plot.lines) <= 6
    assert plot.bars[0].pieces[0].height >= (plot.floor - plot.lines[-1].y) * 0.7


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
