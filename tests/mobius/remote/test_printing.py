"""What people read."""

from __future__ import annotations

import pytest

from mobius.remote.printing import moment, plain, print_facts, print_table, worded


def test_columns_are_aligned_and_long_cells_are_cut(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["RUN", "ERROR"], [["run_1", "x" * 100], ["run_22", None]], empty="")

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["RUN", "ERROR"]
    assert lines[1] == f"run_1   {'x' * 59}…"
    assert lines[2] == "run_22"


def test_an_empty_list_says_so_beside_the_output(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["RUN"], [], empty="There are no runs.")

    assert capsys.readouterr() == ("", "There are no runs.\n")


def test_facts_that_are_none_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    print_facts([("run", "run_1"), ("error", None), ("event", {}), ("waiting rows", 0), ("steps", "a\nb")])

    assert capsys.readouterr().out == "run           run_1\nwaiting rows  0\nsteps         a\n              b\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "yes"), (False, "no"), (50000, "50,000"), (9.9, "9.9"), ({"a": "ä"}, '{"a": "ä"}')],
)
def test_values_are_written_for_people(value: object, text: str) -> None:
    assert worded(value) == text


def test_nothing_from_outside_commands_the_terminal() -> None:
    assert plain("a\x1b[2J\x07b\rc\u202ed") == "a\\x1b[2J\\x07b\\x0dc\\x202ed"
    assert plain("zwei\nZeilen\tünicode") == "zwei\nZeilen\tünicode"


def test_a_moment_is_told_to_the_second() -> None:
    assert moment("2026-11-28T09:30:05.123456Z") == "2026-11-28 09:30:05"
    assert moment(None) == ""
