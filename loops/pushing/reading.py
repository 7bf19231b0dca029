"""A file of rows, as people have them: CSV in any usual encoding and with any usual separator, or JSON Lines.

Strict, because a row that is misread costs a credit: what is wrong with a row stays with that row, what is wrong with
the file refuses all of it, and both name the line. Whatever a cell holds is data. Reads a line at a time.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

from mobius.api.parsing import json_type, parse_json, quoted
from mobius.errors import BadRequest, MobiusError
from mobius.spreadsheets import meant

LARGEST_FILE_BYTES = 25 * 1024 * 1024
TOO_LARGE = f"The file is larger than {LARGEST_FILE_BYTES // 2**20} MB. Split it."
MOST_ROWS = 50_000
"""As many as a Clay webhook takes for life."""
MOST_COLUMNS = 200
LONGEST_COLUMN = 200
LONGEST_ROW = 256 * 1024
"""Characters of one row that are stored. No row that Clay takes is as long."""
TOLD = ("push_line", "push_error", "push_text")
"""What the file of what failed tells of each row; they are no columns of its own."""

Content = list[str] | dict[str, Any]

_CELL = 131_072  # characters: what Python's csv takes
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_ENCODINGS = {"utf-8-sig": "UTF-8", "utf-8": "UTF-8", "utf-16": "UTF-16", "cp1252": "Windows-1252"}
_UTF16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\r?\n?')  # what Excel writes before the header, and reads
_CHUNK = 64 * 1024


class FileUnreadable(BadRequest):
    """The file cannot be read as rows; nothing of it was stored."""


@dataclass(frozen=True, kw_only=True)
class ReadRow:
    """`content` is a list of cells in the order of the columns, or an object; `problem` says why it cannot go."""

    line: int
    content: Content
    problem: str = ""


@dataclass(kw_only=True)
class Table:
    """A file that was opened. `columns` of JSON Lines grow while the rows are read."""

    format: str  # csv or jsonl
    read_as: str  # for people: what its encoding and its separator were taken for
    columns: list[str] = field(default_factory=list)
    rows: Iterator[ReadRow]


def open_table(file: IO[bytes]) -> Table:
    """Find out what `file`, which can be rewound, holds. Raises FileUnreadable, here or while its rows are read."""
    encoding = _encoding_of(file)
    text = io.TextIOWrapper(file, encoding=encoding, newline="")
    begin = text.read(_CHUNK)
    text.seek(0)
    first = begin.lstrip("\ufeff \t\r\n")[:1]
    if not first:
        raise FileUnreadable("There is nothing in it. Give a header and at least one row.")
    if first == "[":
        raise FileUnreadable(
            "This is one JSON array. Write one object per line instead (JSON Lines), such as with "
            "jq -c '.[]' rows.json > rows.jsonl."
        )
    named = _ENCODINGS[encoding]
    if first == "{":
        table = Table(format="jsonl", read_as=f"JSON Lines, {named}", rows=iter(()))
        table.rows = _bounded(_json_rows(text, table.columns))
        return table
    return _open_csv(text, begin, named)


def _encoding_of(file: IO[bytes]) -> str:
    begin = file.read(_CHUNK)
    file.seek(0)
    if begin.startswith(b"PK\x03\x04") or begin.startswith(b"\xd0\xcf\x11\xe0"):
        raise FileUnreadable("This is a workbook, not text. In Excel or Numbers, save the sheet as CSV (UTF-8).")
    if begin.startswith(codecs.BOM_UTF8):
        return _proven(file, "utf-8-sig")
    if begin.startswith(_UTF16_BOMS):
        return _proven(file, "utf-16")
    if begin.count(0) > len(begin) // 4:
        raise FileUnreadable("This is not text, or UTF-16 without its mark. Save it as CSV in UTF-8.")
    try:
        return _proven(file, "utf-8")
    except FileUnreadable:
        return _proven(file, "cp1252")


def _proven(file: IO[bytes], encoding: str) -> str:
    """The encoding, if the whole file is in it. Raises FileUnreadable."""
    decoder, line = codecs.getincrementaldecoder(encoding)(), 1
    try:
        while chunk := file.read(_CHUNK):
            line += decoder.decode(chunk).count("\n")
        decoder.decode(b"", final=True)
    except UnicodeError:
        raise FileUnreadable(
            f"Near line {line:,} there are bytes that are no {_ENCODINGS[encoding]} text. Save the file as UTF-8."
        ) from None
    finally:
        file.seek(0)
    return encoding


def _bounded(rows: Iterator[ReadRow]) -> Iterator[ReadRow]:
    number = 0
    for row in rows:
        number += 1
        if number > MOST_ROWS:
            raise FileUnreadable(
                f"The file has more than {MOST_ROWS:,} rows, as many as a Clay webhook takes for life. Split it."
            )
        yield row
    if number == 0:
        raise FileUnreadable("There is a header, and no row below it.")


# --- CSV --------------------------------------------------------------------------------------------------------------


def _open_csv(text: io.TextIOWrapper, begin: str, encoding: str) -> Table:
    separator = _separator_of(begin)
    told = _SEPARATOR_LINE.fullmatch(begin.split("\n", 1)[0].lstrip("\ufeff") + "\n") is not None
    if told:
        text.readline()
    reader = csv.reader(text, delimiter=separator, strict=True)
    records = _records(reader, skipped=int(told))
    columns = _columns(*next(records, (1, [])))
    return Table(
        format="csv",
        read_as=f"CSV, {encoding}, separated by {_SEPARATORS.get(separator, quoted(separator))}",
        columns=columns,
        rows=_bounded(_csv_rows(records, columns)),
    )


def _separator_of(begin: str) -> str:
    """The one that cuts the first line into the most cells, unless the file says which it is."""
    if found := _SEPARATOR_LINE.match(begin.lstrip("\ufeff")):
        return found[1]

    def cells(separator: str) -> int:
        try:
            return len(next(csv.reader(io.StringIO(begin, newline=""), delimiter=separator), []))
        except csv.Error:
            return 0

    return max(_SEPARATORS, key=cells)


def _records(reader: Any, *, skipped: int) -> Iterator[tuple[int, list[str]]]:
    """Each record with the line that it begins on; empty lines are none. Raises FileUnreadable."""
    while True:
        line = reader.line_num + skipped + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise FileUnreadable(_broken(line, str(error))) from None
        if any(cells):
            yield line, cells


def _broken(line: int, error: str) -> str:
    if "field larger" in error:
        return (
            f"Line {line:,}: a cell has more than {_CELL:,} characters. Most often a quote is opened there and never "
            "closed."
        )
    if "unexpected end" in error:
        return f"Line {line:,}: a quote is opened there and never closed."
    return (
        f"Line {line:,}: text follows a closing quote. Write a quote inside of a quoted cell twice, and nothing after "
        "the closing one."
    )


def _columns(line: int, header: list[str]) -> list[str]:
    while header and not header[-1].strip():
        header.pop()  # separators at the end of every line
    if len(header) > MOST_COLUMNS:
        raise FileUnreadable(f"The header has {len(header):,} columns, and we take {MOST_COLUMNS}. Delete some.")
    header = [cell.strip("\ufeff \t\r\n") for cell in header]
    ours = TOLD[1] in header  # what failed once, and comes back
    columns: list[str] = []
    for place, cell in enumerate(header, start=1):
        name = meant(cell) if ours else cell
        if not name:
            raise FileUnreadable(f"Line {line:,}: column {place} of the header has no name. Give it one, or delete it.")
        if fault := _fault_of_name(name):
            raise FileUnreadable(f"Line {line:,}: column {place} of the header {fault}.")
        if name in columns:
            raise FileUnreadable(f"Line {line:,}: two columns of the header are named {quoted(name)}. Rename one.")
        columns.append(name)
    return columns


def _fault_of_name(name: str) -> str:
    if "\x00" in name:
        return "holds a NUL character"
    return f"has a name of more than {LONGEST_COLUMN} characters" if len(name) > LONGEST_COLUMN else ""


def _csv_rows(records: Iterator[tuple[int, list[str]]], columns: list[str]) -> Iterator[ReadRow]:
    ours = TOLD[1] in columns  # what failed once, and comes back
    for line, cells in records:
        while len(cells) > len(columns) and not cells[-1]:
            cells.pop()
        if ours:
            cells = [meant(cell) for cell in cells]
        yield _checked(line, cells, _fault_of_cells(cells, columns))


def _fault_of_cells(cells: list[str], columns: list[str]) -> str:
    if len(cells) != len(columns):
        many = "1 cell" if len(cells) == 1 else f"{len(cells):,} cells"
        return f"It has {many}, and the header has {len(columns)}. Is a separator missing, or a quote?"
    return "It holds a NUL character, which no database can store." if any("\x00" in cell for cell in cells) else ""


def _checked(line: int, cells: list[str], problem: str) -> ReadRow:
    length = sum(map(len, cells))
    if length <= LONGEST_ROW:
        return ReadRow(line=line, content=cells, problem=problem)
    return ReadRow(line=line, content=[f"{cells[0][:100]}…"], problem=_too_long(length))


def _too_long(length: int) -> str:
    return f"It has {length:,} characters, more than any row may have. Its content was not kept."


# --- JSON Lines -------------------------------------------------------------------------------------------------------


def _json_rows(text: io.TextIOWrapper, columns: list[str]) -> Iterator[ReadRow]:
    known: set[str] = set()
    line = 0
    while written := text.readline(LONGEST_ROW + 2):
        line += 1
        length = len(written)
        while not written.endswith(("\n", "\r")) and (rest := text.readline(LONGEST_ROW)):
            length += len(rest)
            written = written[:100] + rest[-1:]
        if not written.strip("\ufeff \t\r\n"):
            continue
        if length > LONGEST_ROW + 2:
            yield ReadRow(line=line, content=[f"{written[:100]}…"], problem=_too_long(length))
            continue
        row = _json_row(line, written.strip("\ufeff \t\r\n"))
        for name in row.content if isinstance(row.content, dict) else ():
            if name not in known:
                known.add(name)
                columns.append(name)
                _demand_few(columns, line)
        yield row


def _json_row(line: int, written: str) -> ReadRow:
    try:
        value = parse_json(written.encode(), max_bytes=4 * LONGEST_ROW)
    except MobiusError as error:
        sentence = error.message.replace("The body", "It").replace(" at line 1, column ", " at character ")
        return ReadRow(line=line, content=[written], problem=sentence)
    if not isinstance(value, dict):
        return ReadRow(line=line, content=[written], problem=f"It is {json_type(value)}. Write one object per line.")
    if fault := next(filter(None, map(_fault_of_name, value)), ""):
        return ReadRow(line=line, content=[written], problem=f"A key of it {fault}.")
    return ReadRow(line=line, content=value, problem="" if value else "It is an empty object.")


def _demand_few(columns: list[str], line: int) -> None:
    if len(columns) > MOST_COLUMNS:
        raise FileUnreadable(
            f"Line {line:,}: the rows have more than {MOST_COLUMNS} different keys together. Are ids used as keys?"
        )
