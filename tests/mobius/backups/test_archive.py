"""An archive is read whole or not at all, whatever has happened to its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from mobius import clock
from mobius.backups import archive
from mobius.backups.archive import Archive, Manifest, NoBackup


@pytest.fixture
def made(tmp_path: Path) -> Path:
    database, file = tmp_path / "database", tmp_path / "backup"
    database.write_bytes(b"".join(b"row %d of many, " % (n * n) for n in range(90_000)))
    manifest = Manifest(
        taken_at=clock.now(), vendor="sqlite", sha256=archive.digest(database), key_proof="proof", holds_key=True
    )
    archive.write(file, manifest, database=database, key="the key")
    return file


def read(file: Path, target: Path) -> str:
    target.unlink(missing_ok=True)
    with Archive(file) as found:
        found.extract_database(target)
        return found.key


def test_what_was_written_is_read(made: Path, tmp_path: Path) -> None:
    assert read(made, tmp_path / "again") == "the key"
    assert (tmp_path / "again").read_bytes() == (tmp_path / "database").read_bytes()


def test_a_file_that_is_damaged_anywhere_is_no_backup(made: Path, tmp_path: Path) -> None:
    whole, file = made.read_bytes(), tmp_path / "damaged"
    for place in range(10, len(whole), 9_001):  # what precedes says when the archive was made
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            key = read(file, tmp_path / "again")
        except NoBackup:
            continue
        assert key == "the key", place
        assert (tmp_path / "again").read_bytes() == (tmp_path / "database").read_bytes(), place


@pytest.mark.parametrize("lost", [b"\x00", b"\xff", b"U"])
def test_a_file_with_a_lost_block_is_no_backup(made: Path, tmp_path: Path, lost: bytes) -> None:
    whole, file = made.read_bytes(), tmp_path / "lost"
    middle = len(whole) // 2
    file.write_bytes(whole[:middle] + lost * 40_000 + whole[middle + 40_000 :])

    with pytest.raises(NoBackup):
        read(file, tmp_path / "again")


def test_a_file_that_is_cut_off_anywhere_is_no_backup(made: Path, tmp_path: Path) -> None:
    whole, file = made.read_bytes(), tmp_path / "cut"
    for length in range(0, len(whole) - 100, 20_011):
        file.write_bytes(whole[:length])
        with pytest.raises(NoBackup):
            read(file, tmp_path / "again")


@pytest.mark.parametrize("content", [b"", b"something else", b"\x1f\x8b\x08\x00" + bytes(500)])
def test_something_else_is_no_backup(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "other"
    file.write_bytes(content)
    with pytest.raises(NoBackup):
        read(file, tmp_path / "again")


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Archive(tmp_path / "nowhere")
