"""What a running request may use, and what it makes. Knows no queue and no HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from engine.types import Frame, MaskSet, Prompt
from signaling.fal.settings import FalSettings
from signaling.fal.sniff import Media


class Lane(Protocol):
    """One tracker on the engine's thread."""

    def prepare(self, frame: Frame) -> None: ...  # pragma: no cover

    def submit(
        self, frame: Frame, prompts: Sequence[Prompt], live: bool = True
    ) -> Future[MaskSet]: ...  # pragma: no cover

    def close(self) -> None: ...  # pragma: no cover


class Cancelled(Exception):
    """The request was cancelled, or is no longer ours to run."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A file of the input on the local disk."""

    path: Path
    media: Media


@dataclass(frozen=True, slots=True)
class Made:
    """A file of the output on the local disk, before it is stored. Pictures have a size in pixels."""

    path: Path
    content_type: str
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """The surroundings of one running request.

    Attributes:
        open_lane: a new tracker on the engine.
        call: something else with the model, on the engine's thread.
        folder: empty, for this request alone, deleted after it.
        log: one line for the request's log.
        cancelled: whether to stop; looked at between frames.
    """

    open_lane: Callable[[], Lane]
    call: Callable[[Callable[[Any], Any]], Future[Any]]
    folder: Path
    log: Callable[[str], None]
    cancelled: Callable[[], bool]
    settings: FalSettings

    def check(self) -> None:
        """Raises Cancelled when the request should stop."""
        if self.cancelled():
            raise Cancelled


Files = Mapping[str, Taken]
Body = dict[str, Any]
