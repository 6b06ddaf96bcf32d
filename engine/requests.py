"""What waits for the engine thread, and who goes first. Bookkeeping only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.rounds import Job
from engine.types import MaskSet, Prompt

if TYPE_CHECKING:
    from engine.models import Model
    from engine.tracker import Tracker
    from engine.worker import Lane

MAX_ROUND = 8  # streams in one batch; more wait for the next round
BACKGROUND_WAIT_S = 0.5  # a background step that waited this long joins the live ones: it must not starve


@dataclass(slots=True, eq=False)
class Piece:
    """Something else to be done with the model. `submitted_at` in monotonic seconds."""

    work: Callable[[Model], Any]
    future: Future[Any]
    submitted_at: float

    def cancel(self) -> None:
        self.future.cancel()

    def may_go(self, round_: Sequence[StepRequest], now: float) -> bool:
        """Whether it is done before this round: nobody watches what the round brings, or it waited long."""
        live = any(request.live for request in round_)
        return not live or now - self.submitted_at >= BACKGROUND_WAIT_S


@dataclass(slots=True, eq=False)
class PreviewRequest:
    lane: Lane
    tracker: Tracker
    prompts: Sequence[Prompt]
    future: Future[MaskSet]

    def cancel(self) -> None:
        self.future.cancel()


@dataclass(slots=True, eq=False)
class StepRequest:
    """One step of one stream.

    Attributes:
        live: somebody is watching: goes before steps that are not.
        submitted_at: monotonic seconds.
    """

    lane: Lane
    job: Job
    live: bool
    submitted_at: float
    future: Future[MaskSet]

    def cancel(self) -> None:
        self.future.cancel()
        if self.job.sight is not None:
            self.job.sight.drop()


def choose(waiting: Sequence[StepRequest], now: float) -> list[StepRequest]:
    """The oldest `MAX_ROUND` live requests; background ones when none is live, or when they waited long."""
    live = [r for r in waiting if r.live]
    background = [r for r in waiting if not r.live]
    if live:
        overdue = [r for r in background if now - r.submitted_at >= BACKGROUND_WAIT_S]
        return overdue[:1] + live[: MAX_ROUND - len(overdue[:1])]
    return background[:MAX_ROUND]
