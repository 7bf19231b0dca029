"""`mobius bench suspended`: what very many waiting runs cost: rows, and neither time nor memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from mobius.bench.callbacks import CallbackPlan, Callbacks
from mobius.bench.figures import Figure, milliseconds, shown
from mobius.bench.run_start import MIB
from mobius.bench.stage import Stage

CALLED_BACK = 100  # through each door
RATE = 20.0  # callbacks a second
SWEEPS = 200


class Suspended:
    """The same console with next to nothing, and with `runs` waiting runs."""

    def __init__(self, stage: Stage, runs: int, say: Callable[[str], None]) -> None:
        self.stage = stage
        self.runs = runs
        self.say = say
        self.callbacks = Callbacks(stage, CallbackPlan(), say)

    def figures(self) -> Iterator[Figure]:
        self.callbacks.prepare()
        self.callbacks.begin("real", CALLED_BACK)
        yield from self.at_rest(f"{CALLED_BACK} suspended")
        yield from self.multiply()
        yield from self.at_rest(f"{self.runs + CALLED_BACK:,} suspended")
        yield from self.called_back()
        yield Figure("rows that came twice", str(self.stage.arrivals.duplicates), "0", "0")

    def at_rest(self, what: str) -> Iterator[Figure]:
        """One sweep, the memory and the processor time while nothing happens."""
        self.say(f"sweeps with {what}")
        idle = list(self.callbacks.busy.idle())
        timed = f"from mobius.bench.multiplying import time_sweeps; time_sweeps({SWEEPS})"
        seconds = json.loads(self.stage.django(timed))
        yield Figure(f"one sweep p50, {what}", milliseconds(seconds, 50), "5 ms")
        yield Figure(f"one sweep p99, {what}", milliseconds(seconds, 99), "5 ms")
        yield from (Figure(f"{figure.name}, {what}", figure.measured, figure.must, figure.aim) for figure in idle)

    def multiply(self) -> Iterator[Figure]:
        """Stop the console, let one waiting run become many, and start again."""
        self.say(f"copying one waiting run {self.runs:,} times")
        self.stage.stop_console()
        file = self.stage.folder / "data" / "mobius.sqlite3"
        before = file.stat().st_size
        self.stage.django(
            f"from mobius.bench.multiplying import multiply; multiply('real-00000000', 'many', {self.runs})"
        )
        each = (file.stat().st_size - before) / self.runs
        yield Figure("disk a suspended run", shown(each / 1024, "KiB", 2))
        yield Figure("start with all of them", shown(self.stage.start_console(), "s", 2), "2 s", "1 s")

    def called_back(self) -> Iterator[Figure]:
        """Wake some of them through both doors."""
        for what, phase, requests in (
            ("by address", "real", self.callbacks.at_addresses),
            ("by request_id", "many", self.callbacks.by_request_id),
        ):
            self.say(f"{CALLED_BACK} callbacks {what}, {RATE:g} a second")
            outcome = self.callbacks.answer(requests(phase), CALLED_BACK, rate=RATE)
            yield from self.callbacks.woken(what, phase, outcome, CALLED_BACK)
        used = self.stage.tree.memory_bytes()
        yield Figure("memory after the callbacks", shown(None if used is None else used / MIB, "MiB", 0), "160 MiB")
