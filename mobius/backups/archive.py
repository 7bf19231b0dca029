"""The archive that a backup is: a tar file with a manifest, the database and, if asked for, the encryption key."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from mobius.errors import MobiusError

FORMAT = 1
_MANIFEST, _DATABASE, _KEY = "manifest.json", "database", "field_encryption_key"
_LONGEST_TEXT = 64 * 1024
_BLOCK = 1024 * 1024
_DAMAGE = (tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError, KeyError, ValueError, TypeError)


class NoBackup(MobiusError):
    """The file is not a whole backup of this console: it was cut off, changed, or is something else."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What is said of a backup. Holds no secret: `key_proof` can be read only with the key that it proves."""

    taken_at: datetime
    vendor: str  # of the database: sqlite or postgresql
    sha256: str  # of the database's file
    key_proof: str  # "" when nothing was ever encrypted
    holds_key: bool


def write(path: Path, manifest: Manifest, *, database: Path, key: str) -> None:
    """Make the archive, readable for its owner alone. Raises FileExistsError, and OSError; then there is no file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=3) as tar:
                told = asdict(manifest) | {"format": FORMAT, "taken_at": manifest.taken_at.isoformat()}
                _add(tar, _MANIFEST, json.dumps(told, indent=2).encode())
                if manifest.holds_key:
                    _add(tar, _KEY, key.encode())
                tar.add(database, _DATABASE, recursive=False, filter=_private)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


class Archive:
    """An archive that is read. A context manager; raises NoBackup, and OSError when the file cannot be read at all."""

    def __init__(self, path: Path) -> None:
        with ExitStack() as closing, _damage_is_no_backup():
            self._tar = closing.enter_context(tarfile.open(path, "r:gz"))
            self.manifest = _manifest(self._text(_MANIFEST))
            self._closing = closing.pop_all()

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    @property
    def key(self) -> str:
        """The encryption key that the archive holds; "" when it holds none."""
        with _damage_is_no_backup():
            return self._text(_KEY).strip() if self.manifest.holds_key else ""

    def extract_database(self, path: Path) -> None:
        """Write the database to `path`, which is new. Raises NoBackup unless every byte of it is there."""
        seen = hashlib.sha256()
        with _damage_is_no_backup(), self._member(_DATABASE) as source, path.open("xb") as target:
            path.chmod(0o600)
            while block := source.read(_BLOCK):
                seen.update(block)
                target.write(block)
        if seen.hexdigest() != self.manifest.sha256:
            raise NoBackup

    def _text(self, name: str) -> str:
        with self._member(name) as member:
            return member.read(_LONGEST_TEXT).decode()

    def _member(self, name: str) -> IO[bytes]:
        member = self._tar.extractfile(name)
        if member is None:
            raise NoBackup
        return member


@contextmanager
def _damage_is_no_backup() -> Iterator[None]:
    try:
        yield
    except _DAMAGE:
        raise NoBackup from None


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(text: str) -> Manifest:
    told: dict[str, Any] = json.loads(text)
    if told.pop("format") != FORMAT:
        raise NoBackup("The backup was made by another version of this console, and is in a format unknown here.")
    return Manifest(**told | {"taken_at": datetime.fromisoformat(told["taken_at"])})


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o600
    tar.addfile(member, io.BytesIO(content))


def _private(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Who made the backup is nobody's business."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o600
    return member
