"""What a benchmark reads and prints: percentiles, the processor time and memory of processes, a table."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

NOT_AVAILABLE = "n/a"


def percentile(values: Iterable[float], percent: float) -> float | None:
    """The smallest value that `percent` % of the values do not exceed; None when there are none."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1]


@dataclass(frozen=True)
class Figure:
    """One line of the table. What it must be and what we aim at stand in `performance.md` of the design."""

    name: str
    measured: str
    must: str = ""
    aim: str = ""


def shown(value: float | None, unit: str = "", digits: int = 1) -> str:
    """`value` for people; "n/a" for None."""
    if value is None:
        return NOT_AVAILABLE
    return f"{value:,.{digits}f}{' ' + unit if unit else ''}"


def milliseconds(latencies: Iterable[float], percent: float) -> str:
    """A percentile of latencies in seconds, for people."""
    value = percentile(latencies, percent)
    return shown(None if value is None else value * 1000, "ms", 2)


def table(figures: Sequence[Figure]) -> str:
    """Aligned columns under a heading."""
    rows = [("figure", "measured", "must", "aim"), *((f.name, f.measured, f.must, f.aim) for f in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    rule = tuple("-" * width for width in widths)
    lines = ([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
             for row in (rows[0], rule, *rows[1:]))  # fmt: skip
    return "\n".join("  ".join(cells).rstrip() for cells in lines)


class ProcessTree:
    """A process and all that descend from it. Every reading is None where there is no Linux `/proc`."""

    def __init__(self, root: int, proc: Path = Path("/proc")) -> None:
        self.root = root
        self.proc = proc

    def cpu_seconds(self) -> float | None:
        """Processor time so far, with that of descendants that have ended and were waited for."""
        stats = self._stats()
        if stats is None:
            return None
        ticks = sum(int(field) for pid in self._members(stats) for field in stats[pid][11:15])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self) -> int | None:
        """Resident memory, shared pages divided among those who share them where the kernel tells."""
        stats = self._stats()
        if stats is None:
            return None
        return sum(self._memory(pid) for pid in self._members(stats))

    def _stats(self) -> dict[int, list[str]] | None:
        """The fields of `/proc/<pid>/stat` from the state on, for every process."""
        if not (self.proc / "self" / "stat").exists():
            return None
        found = {}
        for folder in self.proc.iterdir():
            if folder.name.isdigit():
                try:
                    # The second field is the command's name: in parentheses, and with any character inside.
                    found[int(folder.name)] = (folder / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue  # it has just ended
        return found

    def _members(self, stats: dict[int, list[str]]) -> list[int]:
        members = [self.root] if self.root in stats else []
        for member in members:
            members += [pid for pid, fields in stats.items() if int(fields[1]) == member]
        return members

    def _memory(self, pid: int) -> int:
        for file, name in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
            try:
                text = (self.proc / str(pid) / file).read_text()
            except OSError:
                continue
            for line in text.splitlines():
                if line.startswith(name):
                    return int(line.split()[1]) * 1024
        return 0


class Processes:
    """Several trees, read as one."""

    def __init__(self, trees: Sequence[ProcessTree]) -> None:
        self.trees = trees

    def cpu_seconds(self) -> float | None:
        found = [tree.cpu_seconds() for tree in self.trees]
        return None if None in found else sum(one for one in found if one is not None)

    def memory_bytes(self) -> int | None:
        found = [tree.memory_bytes() for tree in self.trees]
        return None if None in found else sum(one for one in found if one is not None)
