"""`mobius bench chaos`: starts at a steady rate, a Clay on a bad day, and a console that is killed again and again.

What was accepted must arrive once, or be accounted for; `mobius/bench/verdict.py` counts. The dice (which start is of
which kind, when and how the console dies) follow from the seed; the machine's own timing does not.
"""

from __future__ import annotations

import http.client
import itertools
import json
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from mobius.bench.stage import PROJECT, Stage, StageBroken, ask

ROOT = f"/v1/projects/{PROJECT}"
PATIENCE_SECONDS = 75.0  # without change; a lost ring is found after 60
TRIES = 100  # of a start with a key, which may be repeated until it is answered


def _push(**parameters: str) -> dict[str, Any]:
    return {
        "id": "push",
        "kind": "action",
        "retry": {"max_attempts": 3, "delay": "1s"},
        "config": {
            "action_name": "clay.webhook.submit",
            # The run's own id, so that a second run for one start would bring a second row, and be seen.
            "parameters": {"payload": {"n": "${{ event.n }}"}, "request_id": "${{ meta.run_id }}"} | parameters,
        },
    }


_WAIT = {
    "id": "answer",
    "kind": "wait_for_event",
    "config": {"event_type": "clay.callback"},
    "timeout": {"duration": "8s"},  # Clay tries a callback twice, at once: one that met no console is lost
}
LOOPS: dict[str, list[dict[str, Any]]] = {
    "push": [_push(integration="clay")],
    "paced": [_push(integration="paced")],
    "ask": [_push(integration="clay", callback_url="${{ callback.url }}"), _WAIT],
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    seconds: float
    rate: float  # starts a second
    seed: int


@dataclass
class Course:
    """What happened, as it is seen from outside."""

    sent: int = 0  # starts
    accepted: dict[int, str] = field(default_factory=dict)  # run by start
    unanswered: int = 0  # starts whose answer the console took with it
    disagreeing: list[str] = field(default_factory=list)  # runs that a repeated key made anew
    kills: int = 0  # by -9
    stops: int = 0  # by SIGTERM
    unclean_stops: int = 0


class Chaos:
    def __init__(self, stage: Stage, plan: Plan, say: Callable[[str], None]) -> None:
        self.stage = stage
        self.plan = plan
        self.say = say
        self.course = Course()
        self._dice = random.Random(plan.seed)
        self._over = threading.Event()
        self._lock = threading.Lock()

    def run(self) -> Course:
        """Raises StageBroken when the console cannot be started again."""
        self._prepare()
        self.say(f"chaos: {self.plan.rate:g} starts a second for {self.plan.seconds:g} s, kills at random moments")
        starting = threading.Thread(target=self._start_steadily)
        starting.start()
        try:
            self._kill_at_random()
        finally:
            self._over.set()
            starting.join()
        self._settle()
        return self.course

    def _prepare(self) -> None:
        stage = self.stage
        stage.mobius("project", "create", PROJECT)
        stage.key = stage.mobius("key", "create", "--project", PROJECT, "--name", "chaos", "--role", "admin")
        connect = f"{ROOT}/integrations/providers/clay/connect"
        stage.call("POST", connect, {"webhook_url": stage.webhook_url, "rate_per_second": "unlimited"})
        paced = {"webhook_url": f"{stage.webhook_url}-paced", "name": "paced", "workspace": "paced"}
        stage.call("POST", connect, paced)
        for name, steps in LOOPS.items():
            stage.call("POST", f"{ROOT}/loops", {"name": name, "steps": steps})

    # --- starts ------------------------------------------------------------------------------------------------------

    def _start_steadily(self) -> None:
        began = time.monotonic()
        with ThreadPoolExecutor(32) as threads:
            for n in itertools.count():
                if self._over.wait(max(0.0, began + n / self.plan.rate - time.monotonic())):
                    return
                threads.submit(self._start, n)

    def _start(self, n: int) -> None:
        dice = random.Random(f"{self.plan.seed}-{n}")
        (loop,) = dice.choices(list(LOOPS), weights=[2, 1, 1])
        body: dict[str, Any] = {"event": {"n": n}}
        with_key = dice.random() < 0.3
        if with_key:
            body["idempotency_key"] = f"start-{n}"
        runs = {run for _ in range(2 if with_key else 1) if (run := self._post_start(loop, body, again=with_key))}
        with self._lock:
            self.course.sent += 1
            if runs:
                self.course.accepted[n] = min(runs)
            else:
                self.course.unanswered += 1
            if len(runs) > 1:
                self.course.disagreeing.extend(sorted(runs)[1:])

    def _post_start(self, loop: str, body: dict[str, Any], *, again: bool) -> str:
        """The run. "" when no answer came, or the key's run has ended already."""
        headers = {"Authorization": f"Bearer {self.stage.key}", "Content-Type": "application/json"}
        for _ in range(TRIES if again else 1):
            try:
                path = f"{ROOT}/loops/{loop}/runs"
                status, answer = ask(self.stage.port, "POST", path, json.dumps(body).encode(), headers)
            except (OSError, http.client.HTTPException):
                time.sleep(0.1)
                continue
            told = json.loads(answer)
            if status == 409:
                return str(told["error"]["details"]["run_id"])
            return str(told["id"]) if status == 202 else ""
        return ""

    # --- kills -------------------------------------------------------------------------------------------------------

    def _kill_at_random(self) -> None:
        ends_at = time.monotonic() + self.plan.seconds
        while (left := ends_at - time.monotonic()) > 0:
            pause = self._dice.uniform(0.3, 4.0)
            time.sleep(min(pause, left))
            if pause >= left:
                return
            if self._dice.random() < 0.25:
                code, _ = self.stage.stop_console()
                self.course.stops += 1
                self.course.unclean_stops += code != 0
            else:
                self.stage.kill_console()
                self.course.kills += 1
            self._start_again()

    def _start_again(self) -> None:
        """A console may be killed again while it starts."""
        while self._dice.random() < 0.2:
            killer = threading.Timer(self._dice.uniform(0.05, 1.0), lambda: self.stage.console.kill())
            killer.start()
            with suppress(StageBroken):
                self.stage.start_console()
            killer.join()
            self.stage.kill_console()
            self.course.kills += 1
        self.stage.start_console()

    # --- rest --------------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Wait until nothing moves any more but what is in doubt."""
        self.say("settling")
        before, changed_at = -1, time.monotonic()
        while time.monotonic() - changed_at < PATIENCE_SECONDS:
            moving = len(self._moving())
            if not moving:
                time.sleep(1.0)  # a second POST of something would come now
                return
            if moving != before:
                before, changed_at = moving, time.monotonic()
            time.sleep(0.5)

    def _moving(self) -> list[str]:
        return [run["id"] for run in unfinished(self.stage) if not is_in_doubt(self.stage, run["id"])]


def listed(stage: Stage, path: str, **query: str) -> list[dict[str, Any]]:
    """All pages of a list."""
    items: list[dict[str, Any]] = []
    more = "".join(f"&{name}={value}" for name, value in query.items())
    cursor = ""
    while True:
        page = stage.call("GET", f"{ROOT}/{path}?limit=100{more}{cursor}")
        items += page["items"]
        if not page["has_more"]:
            return items
        cursor = f"&cursor={page['next_cursor']}"


def unfinished(stage: Stage) -> list[dict[str, Any]]:
    return [run for status in ("queued", "running", "suspended") for run in listed(stage, "runs", status=status)]


def is_in_doubt(stage: Stage, run_id: str) -> bool:
    """Does the run wait for somebody who knows whether its row arrived?"""
    steps = stage.call("GET", f"{ROOT}/runs/{run_id}/steps")["items"]
    return any(step["status"] == "suspended" and step.get("error_type") == "delivery_in_doubt" for step in steps)
