"""A push in words: how far it is, what is left, and what the dry run found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from loops.console.queue import rows_in_words
from loops.models import Push, PushState, RowState
from loops.pushing import checking
from loops.pushing.progress import Progress
from mobius.timespans import rough

_REASONS = {
    checking.UNREADABLE: "could not be read",
    checking.TOO_LARGE: "larger than the table takes",
    checking.REFUSED: "cannot be sent as they are",
    checking.NO_REQUEST_ID: "without a request_id",
    checking.TWICE: "with a request_id that an earlier row of the file has",
    checking.SENT_BEFORE: "sent before, exactly as they are",
    checking.OTHER_CONTENT: "sent although another row went out under their request_id before",
}


@dataclass(frozen=True, kw_only=True)
class ShownReason:
    """Rows of one kind that the dry run found."""

    kind: str
    words: str
    count: int
    examples: list[dict[str, Any]]

    @property
    def is_left_out(self) -> bool:
        return self.kind != checking.OTHER_CONTENT

    @property
    def number(self) -> str:
        return f"{self.count:,}"

    @property
    def more(self) -> int:
        return self.count - len(self.examples)

    @property
    def more_in_words(self) -> str:
        return f"{self.more:,}"


def shown_reasons(report: dict[str, Any]) -> list[ShownReason]:
    found = report.get("reasons", {})
    return [
        ShownReason(kind=kind, words=words, count=found[kind]["count"], examples=found[kind]["examples"])
        for kind, words in _REASONS.items()
        if kind in found
    ]


@dataclass(frozen=True, kw_only=True)
class ShownProgress:
    push: Push
    progress: Progress

    @property
    def figures(self) -> list[tuple[str, str]]:
        """What became of the rows; what is none is left out, but for the first three."""
        progress = self.progress
        always = [
            ("Sent", progress[RowState.SENT]),
            ("Waiting", progress.open),
            ("Failed", progress[RowState.FAILED]),
        ]
        others = [
            ("In doubt", progress[RowState.IN_DOUBT]),
            ("Sent before", progress[RowState.DUPLICATE]),
            ("Left out", progress[RowState.LEFT_OUT]),
            ("Not sent", progress[RowState.NOT_SENT]),
        ]
        shown = always + [(label, number) for label, number in others if number]
        return [(label, f"{number:,}") for label, number in shown]

    @property
    def done(self) -> str:
        return f"{self.progress.done:,} of {self.progress.to_send:,} rows"

    @property
    def percent(self) -> int:
        return 100 * self.progress.done // self.progress.to_send if self.progress.to_send else 0

    @property
    def left(self) -> str:
        """How long it will take, in words."""
        push, progress = self.push, self.progress
        if push.state == PushState.PAUSED and progress[RowState.STARTED]:
            verb = "goes" if progress[RowState.STARTED] == 1 else "go"
            return f"{rows_in_words(progress[RowState.STARTED])} in line still {verb} out."
        if push.state != PushState.RUNNING:
            return ""
        if push.integration is not None and not push.integration.usable:
            return f"The integration {push.integration.name} is paused; the rows wait until it is resumed."
        if progress.takes is not None:
            return f"About {rough(progress.takes)} left, other runs not counted."
        return "" if progress.open else "Every row has left. Somebody must say what became of those in doubt."

    @property
    def failed(self) -> int:
        return self.progress[RowState.FAILED]

    @property
    def in_doubt(self) -> int:
        return self.progress[RowState.IN_DOUBT]

    @property
    def failures(self) -> int:
        return 0 if self.push.purged_at else self.progress.did_not_arrive

    @property
    def failures_in_words(self) -> str:
        return rows_in_words(self.failures)
