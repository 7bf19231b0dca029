"""Files as people have them: any usual encoding and separator, strict about what could be misread."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loops.pushing import reading
from loops.pushing.reading import FileUnreadable, ReadRow, open_table

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine draws slowly."""
READABLE = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
CELLS = st.text(READABLE, max_size=12)
COLUMNS = st.lists(
    st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8), min_size=1, max_size=5, unique=True
)


def read(raw: bytes) -> tuple[reading.Table, list[ReadRow]]:
    table = open_table(io.BytesIO(raw))
    return table, list(table.rows)


def contents(raw: bytes) -> list[Any]:
    _, rows = read(raw)
    assert [row.problem for row in rows if row.problem] == []
    return [row.content for row in rows]


def refusal(raw: bytes) -> str:
    with pytest.raises(FileUnreadable) as refused:
        read(raw)
    return refused.value.message


@patient
@given(columns=COLUMNS, data=st.data())
def test_what_a_spreadsheet_writes_is_read_to_the_letter(columns: list[str], data: st.DataObject) -> None:
    # A record of empty cells alone is an empty line, and none.
    row = st.lists(CELLS, min_size=len(columns), max_size=len(columns)).filter(any)
    rows = data.draw(st.lists(row, min_size=1, max_size=6))
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    separator = data.draw(st.sampled_from(",;\t|"))
    written = io.StringIO()
    csv.writer(written, delimiter=separator, quoting=csv.QUOTE_ALL).writerows([columns, *rows])
    told = f"sep={separator}\r\n" if len(columns) == 1 else ""  # one column has no separator to be told by

    raw = (told + written.getvalue()).encode(encoding)

    table, found = read(raw)
    assert table.columns == columns
    assert [one.content for one in found] == rows
    assert not [one.problem for one in found if one.problem]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | CELLS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(CELLS, inner, max_size=3),
    max_leaves=6,
)


@patient
@given(rows=st.lists(st.dictionaries(CELLS.filter(bool), JSON, min_size=1, max_size=4), min_size=1, max_size=5))
def test_json_lines_are_read_as_they_were_written(rows: list[dict[str, Any]]) -> None:
    raw = "\n".join(json.dumps(row) for row in rows).encode()

    table, found = read(raw)

    assert [one.content for one in found] == rows
    assert set(table.columns) == {key for row in rows for key in row}


@patient
@given(st.binary(max_size=300))
def test_any_bytes_are_rows_or_a_sentence(raw: bytes) -> None:
    try:
        table, rows = read(raw)
    except FileUnreadable:
        assert refusal(raw).endswith((".", "?"))
    else:
        assert rows
        assert table.read_as


def test_a_file_that_is_not_utf_8_is_windows_1252_and_says_so() -> None:
    table, rows = read("Name;Città\nZoë;Forlì\n".encode("cp1252"))

    assert table.columns == ["Name", "Città"]
    assert [row.content for row in rows] == [["Zoë", "Forlì"]]
    assert table.read_as == "CSV, Windows-1252, separated by semicolons"


def test_each_row_knows_the_line_that_it_begins_on() -> None:
    _, rows = read(b'a,b\n"1\n2",x\n\n3,y\n')

    assert [row.line for row in rows] == [2, 5]


def test_formulas_and_markup_are_data() -> None:
    assert contents(b"a,b\n=1+1,<script>alert(1)</script>\n") == [["=1+1", "<script>alert(1)</script>"]]


def test_separators_at_the_end_of_every_line_are_no_column() -> None:
    table, rows = read(b"a,b,,\n1,2,,\n")

    assert table.columns == ["a", "b"]
    assert [row.content for row in rows] == [["1", "2"]]


def test_a_row_with_too_few_or_too_many_cells_stays_behind_and_says_why() -> None:
    _, rows = read(b"a,b\n1\n1,2,3\n1,2\n")

    assert [row.problem[:30] for row in rows] == [
        "It has 1 cell, and the header ",
        "It has 3 cells, and the header",
        "",
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"a": 1', "It is not valid JSON"),
        (b"[1]", "It is an array. Write one object per line."),
        (b'"text"', "It is a string. Write one object per line."),
        (b'{"a": 1, "a": 2}', 'The key "a" stands twice in one object.'),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": "\\u0000"}', "There is a NUL character in a"),
        (b"{}", "It is an empty object."),
        (b'{"' + b"k" * 201 + b'": 1}', "A key of it has a name of more than 200 characters."),
    ],
)
def test_a_line_that_is_no_object_stays_behind_and_says_why(line: bytes, problem: str) -> None:
    _, rows = read(b'{"ok": 1}\n' + line + b"\n")

    assert [row.line for row in rows] == [1, 2]
    assert not rows[0].problem
    assert rows[1].problem.startswith(problem)
    assert rows[1].content == ({} if line == b"{}" else [line.decode()]), "kept, so that it can be mended"


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"", "There is nothing in it."),
        (b" \r\n\n", "There is nothing in it."),
        (b"a,b\n", "There is a header, and no row below it."),
        (b"PK\x03\x04rest", "This is a workbook, not text."),
        (b"\x00\x01\x00\x02", "This is not text"),
        (b'[{"a": 1}]', "This is one JSON array."),
        (b"a,,b\n1,2,3\n", "Line 1: column 2 of the header has no name."),
        (b"a,a\n1,2\n", 'Line 1: two columns of the header are named "a".'),
        (b'a,b\n1,2\n3,"x\n4,5\n', "Line 3: a quote is opened there and never closed."),
        (b'a,b\n1,"x"y\n', "Line 2: text follows a closing quote."),
        (b"a\n\x81\xff\n", "Near line "),
        (b"a" * 201 + b",b\n1,2\n", "Line 1: column 1 of the header has a name of more than 200 characters."),
        (b",".join(b"c%d" % one for one in range(201)) + b"\n1\n", "The header has 201 columns, and we take 200."),
    ],
)
def test_a_file_that_could_be_misread_is_refused_whole_with_its_line(raw: bytes, sentence: str) -> None:
    assert refusal(raw).startswith(sentence)


def test_a_quote_that_is_never_closed_in_a_large_file_is_told_where_it_opens() -> None:
    assert refusal(b'a,b\n1,"open\n' + b"2,x\n" * 50_000).startswith("Line 2: a cell has more than 131,072 characters.")


def test_more_rows_than_a_webhook_takes_are_refused() -> None:
    assert "more than 50,000 rows" in refusal(b"a\n" + b"1\n" * 50_001)


def test_a_line_of_megabytes_is_not_kept() -> None:
    _, rows = read(b'{"a": 1}\n{"a": "' + b"x" * 3_000_000 + b'"}\n{"a": 2}\n')

    assert [row.line for row in rows] == [1, 2, 3]
    assert rows[1].problem.startswith("It has 3,000,0")
    assert len(str(rows[1].content)) < 200


def test_ids_used_as_keys_are_told_from_columns() -> None:
    raw = b"\n".join(b'{"id%d": 1}' % one for one in range(201))

    assert "Are ids used as keys?" in refusal(raw)
