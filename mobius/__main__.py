"""The two commands of a newcomer: `python3 -m mobius serve` and `python3 -m mobius test`.

Standard library only. Makes `.venv`, installs the hashed lock into it when the lock has changed,
then hands over: `test` to pytest, everything else to the click commands of `mobius/cli.py`.
"""

import hashlib
import importlib.metadata
import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def ensure_venv() -> None:
    """Make `.venv` for the running Python, or make it anew when another Python or tool made it."""
    config = VENV / "pyvenv.cfg"
    # uv writes `version_info`, not `version`: its environments have no pip, so they are rebuilt too.
    ours = f"version = {sys.version_info[0]}.{sys.version_info[1]}."
    if PYTHON.exists() and config.exists() and ours in config.read_text():
        return
    say("creating .venv ...")
    try:
        venv.create(VENV, with_pip=not has_pip(), clear=True)
    except subprocess.CalledProcessError:
        sys.exit("mobius: this Python cannot make virtual environments (Debian: apt install python3-venv)")


def has_pip() -> bool:
    """Does the running Python have a pip that can install elsewhere? Giving `.venv` its own takes four seconds."""
    try:
        major, minor = importlib.metadata.version("pip").split(".")[:2]
    except importlib.metadata.PackageNotFoundError:
        return False
    return (int(major), int(minor)) >= (22, 3)


def ensure_installed(lock: Path) -> None:
    """Install the packages of `lock`, hashes required, unless this very lock is installed already."""
    stamp = VENV / f".{lock.stem}.sha256"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    say(f"installing {lock.name} ...")
    pip = [sys.executable, "-m", "pip", "--python", str(PYTHON)] if has_pip() else [str(PYTHON), "-m", "pip"]
    quietly = ["-qq", "--disable-pip-version-check"]
    if subprocess.call([*pip, "install", *quietly, "--require-hashes", "-r", str(lock)]):
        sys.exit("mobius: installing the locked packages failed; see above")
    stamp.write_text(wanted)


def lock_for(environment: Mapping[str, str]) -> str:
    """`run`, or `postgres` when the database is PostgreSQL."""
    return "postgres" if environment.get("DATABASE_URL", "").startswith("postgres") else "run"


def hand_over(args: list[str]) -> None:
    """Become the command. On Windows, where exec returns at once, wait for it instead."""
    command = [str(PYTHON), *args]
    os.chdir(ROOT)
    if os.name == "nt":
        sys.exit(subprocess.call(command))
    os.execv(command[0], command)


def say(message: str) -> None:
    # Standard error: what a command prints on standard output stays its own.
    print(f"mobius: {message}", file=sys.stderr, flush=True)


def main() -> None:
    if sys.version_info < (3, 11):
        sys.exit("mobius needs Python 3.11 or newer")
    args = sys.argv[1:] or ["--help"]
    testing = args[0] == "test"
    ensure_venv()
    ensure_installed(ROOT / "requirements" / f"{'dev' if testing else lock_for(os.environ)}.txt")
    hand_over(["-m", "pytest", *args[1:]] if testing else ["-m", "mobius.cli", *args])


if __name__ == "__main__":
    main()
