"""A bad day at Clay: some rows are answered late, with a fault, or not at all, by dice that can be thrown again."""

from __future__ import annotations

import random

from .simulated_endpoint import Behaviour

TROUBLES = (
    Behaviour(fail=429, headers=(("Retry-After", "1"),)),
    Behaviour(fail=500),
    Behaviour(fail=502, keep_row=True),
    Behaviour(reset=True),
    Behaviour(reset=True, keep_row=False),
    Behaviour(close=True),
    Behaviour(slow=1.5),
)


class BadDay:
    """How the next request is to be answered; None: as always. `share` of all requests meet trouble."""

    def __init__(self, share: float, seed: int) -> None:
        self._share = share
        self._dice = random.Random(seed)  # noqa: S311  (dice, not secrets)

    def __call__(self) -> Behaviour | None:
        return self._dice.choice(TROUBLES) if self._dice.random() < self._share else None
