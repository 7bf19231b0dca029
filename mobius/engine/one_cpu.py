"""The threads of a process on one CPU, where the system lets us choose (Linux).

One interpreter lets one of its threads work at a time. On several CPUs a thread that comes back from the system, which
takes microseconds, finds that another CPU has woken another one for the interpreter meanwhile; it goes to sleep, and is
woken in its turn: 46 changes of threads a run, a third of what a run costs. On one CPU there are 15, since nobody is
woken while it is away. So all threads share one, and which one is looked at now and then: the rest of the machine works
beside us, and we go where there is room. What this takes away is what happens outside of the interpreter at the same
time: two large queries of SQLite, the hash of a password, TLS.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections.abc import Mapping, Set
from contextlib import suppress
from pathlib import Path

LOOKS_AFTER_SECONDS = (1.0, 3.0)
"""At odd times, or two processes that began together would go from CPU to CPU together."""
_WORTH_A_MOVE = 0.2  # of a CPU, more than where we are
_BUSY = 0.1  # of a CPU
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_STAT = Path("/proc/stat")
_CPUS = Path("/sys/devices/system/cpu")
_SPEEDS = ("cpu_capacity", "cpufreq/cpuinfo_max_freq")  # the first that is there; each in a unit of its own


def share_one() -> None:
    """Have the threads of this process share a CPU, from the first look on. Does nothing where it would not help."""
    if can_share():
        threading.Thread(target=_keep_looking, name="one-cpu", daemon=True).start()


def can_share() -> bool:
    """Is there a choice, and do threads wait for one interpreter? (Free-threaded builds of Python have none.)"""
    takes_turns = getattr(sys, "_is_gil_enabled", lambda: True)()
    return takes_turns and len(_allowed() & idle_seconds().keys()) > 1


def choose(idle: Mapping[int, float], *, here: int | None, own: float) -> int:
    """On which CPU we go on. `idle`: what share of a second each had nothing to do; `own`: what we took of `here`."""
    roomiest = max(idle, key=idle.__getitem__)
    if here is None or here not in idle:
        return roomiest
    crowded = own > _BUSY and idle[roomiest] > idle[here] + own + _WORTH_A_MOVE
    return roomiest if crowded else here


def fastest(cpus: Set[int]) -> set[int]:
    """Those of `cpus` that are as fast as any: some machines have slow ones, too, which save power."""
    speeds = {cpu: _speed(cpu) for cpu in cpus}
    return {cpu for cpu, speed in speeds.items() if speed >= 0.9 * max(speeds.values())}


def idle_seconds() -> dict[int, float]:
    """How long each CPU has had nothing to do since the machine was started (proc_stat(5)); {} where nobody says."""
    lines = _STAT.read_text().splitlines() if _STAT.exists() else []
    named = [line.split() for line in lines if line.startswith("cpu") and not line.startswith("cpu ")]
    return {int(name.removeprefix("cpu")): (int(t[3]) + int(t[4])) / _TICKS_A_SECOND for name, *t in named}


def _allowed() -> set[int]:
    """The CPUs that this thread may use; none where the system does not say."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def _speed(cpu: int) -> int:
    for name in _SPEEDS:
        with suppress(OSError, ValueError):
            return int((_CPUS / f"cpu{cpu}" / name).read_text())
    return 0


def _keep_looking() -> None:
    cpus = fastest(_allowed())
    here: int | None = None
    while True:
        began, idle_before, own_before = time.monotonic(), idle_seconds(), time.process_time()
        time.sleep(random.uniform(*LOOKS_AFTER_SECONDS))  # noqa: S311  # no secret
        seconds = time.monotonic() - began
        if here is not None and _allowed() != {here}:  # somebody else has said where we may be
            cpus, here = fastest(_allowed()), None
        known = cpus & idle_before.keys()
        idle = {cpu: (now - idle_before[cpu]) / seconds for cpu, now in idle_seconds().items() if cpu in known}
        if idle and (there := choose(idle, here=here, own=(time.process_time() - own_before) / seconds)) != here:
            with suppress(OSError):  # it may not be used any more: the next look finds that out
                _move_to(there)
                here = there


def _move_to(cpu: int) -> None:
    moved: set[str] = set()
    while new := set(os.listdir("/proc/self/task")) - moved:  # a thread begins where the one is that begins it
        for thread in new:
            with suppress(ProcessLookupError):  # it has ended meanwhile
                os.sched_setaffinity(int(thread), {cpu})
        moved |= new
