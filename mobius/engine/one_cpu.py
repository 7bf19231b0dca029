"""The threads of a process on one CPU, where the system lets us choose (Linux).

One interpreter lets one of its threads work at a time. On several CPUs a thread that comes back from the system, which
takes microseconds, finds that another CPU has woken another one for the interpreter meanwhile; it goes to sleep, and is
woken in its turn: 46 changes of threads a run, a third of what a run costs. On one CPU there are 15, since nobody is
woken while it is away. So all threads share one, and which one is looked at now and then: the rest of the machine works
beside us, and we go where there is room. What this takes away is what happens outside of the interpreter at the same
time, such as two large queries of SQLite.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_LOOKS_EVERY_SECONDS = 2.0
_STAT = Path("/proc/stat")
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_WORTH_A_MOVE = 0.2
_BUSY = 0.1


def share_one() -> None:
    """Have the threads of this process share a CPU, from the next look on. Does nothing where it would not help."""
    if can_share():
        threading.Thread(target=_keep_looking, name="one-cpu", daemon=True).start()


def can_share() -> bool:
    """Is there a choice, and do threads wait for one interpreter? (Free-threaded builds of Python have none.)"""
    takes_turns = getattr(sys, "_is_gil_enabled", lambda: True)()
    return takes_turns and len(allowed()) > 1 and _STAT.exists()


def allowed() -> set[int]:
    """The CPUs that this process may use; none where the system does not say."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def choose(idle: Mapping[int, float], *, here: int | None, own: float) -> int:
    """On which CPU we go on. `idle`: what share of a second each had nothing to do; `own`: what we took of `here`."""
    roomiest = max(idle, key=idle.__getitem__)
    if here is None:
        return roomiest
    crowded = own > _BUSY and idle[roomiest] > idle[here] + own + _WORTH_A_MOVE
    return roomiest if crowded else here


def _keep_looking() -> None:
    cpus = sorted(allowed())
    here: int | None = None
    while True:
        idle_before, own_before, before = idle_seconds(), time.process_time(), time.monotonic()
        time.sleep(_LOOKS_EVERY_SECONDS)
        seconds = time.monotonic() - before
        idle_now = idle_seconds()
        idle = {cpu: (idle_now[cpu] - idle_before[cpu]) / seconds for cpu in cpus if cpu in idle_now}
        there = choose(idle, here=here, own=(time.process_time() - own_before) / seconds)
        if there != here:
            _move_to(there)
            here = there


def idle_seconds() -> dict[int, float]:
    """How long each CPU has had nothing to do since the machine was started (proc_stat(5))."""
    idle: dict[int, float] = {}
    for line in _STAT.read_text().splitlines():
        name, *ticks = line.split()
        if name.startswith("cpu") and name != "cpu":
            idle[int(name.removeprefix("cpu"))] = (int(ticks[3]) + int(ticks[4])) / _TICKS
    return idle


def _move_to(cpu: int) -> None:
    for thread in os.listdir("/proc/self/task"):
        with suppress(OSError):  # it has ended meanwhile
            os.sched_setaffinity(int(thread), {cpu})
