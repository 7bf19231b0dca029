"""A few seconds of `mobius bench chaos`; ten minutes of it are for the night."""

from __future__ import annotations

import subprocess

import pytest

from mobius.bench.stage import MOBIUS, ROOT

pytestmark = pytest.mark.processes


def test_a_little_chaos_loses_nothing_doubles_nothing_and_leaves_nothing_stuck() -> None:
    command = [*MOBIUS, "bench", "chaos", "--minutes", "0.1", "--seed", "7"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=170)

    assert done.returncode == 0, done.stdout + done.stderr
    told = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines()}
    assert (told["lost"], told["doubled"], told["stuck"], told["seed"]) == ("0", "0", "0", "7")
    assert int(told["rows"]) > 0
    assert int(told["kills"]) + int(done.stdout.rpartition("(and ")[2].split()[0]) > 0
