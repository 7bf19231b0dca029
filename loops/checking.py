"""The step `check`: a verdict on what is known so far (mobius-contract §6.2)."""

from __future__ import annotations

from typing import Any

from loops.expressions import Names, evaluate, truthy
from loops.models import Step
from loops.spec import CheckConfig
from loops.turn import Turn


def check(turn: Turn, config: CheckConfig, step: Step, names: Names) -> None:
    """Complete `step` with its verdict, or fail it and with it the run. Raises ExpressionError."""
    checks = [
        {"name": one.name, "kind": "expr", "expr": one.expression, "pass": truthy(evaluate(one.expression, names))}
        for one in config.checks
    ]
    failed = [str(one["name"]) for one in checks if not one["pass"]]
    verdict: dict[str, Any] = {
        "verdict": "fail" if failed else "pass",
        "on_fail": "continue" if config.goes_on else "fail",
        "checks": checks,
        "failed": failed,
    }
    turn.log("check.verdict", step, verdict=verdict["verdict"], on_fail=verdict["on_fail"], failed=failed)
    if failed and not config.goes_on:
        step.result = verdict
        names_of = ", ".join(failed)
        turn.fail_step(
            step,
            error_type="check_failed",
            error_message=f"Did not pass: {names_of}.",
            stop_reason="check_failed",
        )
        return
    turn.complete_step(step, verdict)
