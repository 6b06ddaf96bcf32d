"""Prompt messages that wait for the next step. None is dropped; each is answered once.

It knows no engine and no channel: a message goes in, a future of its answer comes out.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from stream.prompt_message import PromptMessage
from stream.replies import Ack
from stream.wire import WireError

WAITING = 256


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """A message, when it came (monotonic seconds), and where its answer goes."""

    message: PromptMessage
    received_at: float
    answer: asyncio.Future[Ack]

    def accept(self, ack: Ack) -> None:
        if not self.answer.done():
            self.answer.set_result(ack)

    def refuse(self, code: str, reason: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(WireError(code, reason, self.message.request_id))


class Inbox:
    """First in, all out. Refuses when WAITING messages wait already: a person never gets there."""

    def __init__(self) -> None:
        self._waiting: list[Waiting] = []
        self._closed: str | None = None

    def submit(self, message: PromptMessage) -> asyncio.Future[Ack]:
        """Queue `message`.

        Returns:
            The answer to come; it may raise WireError, here RATE_LIMITED or SESSION_CLOSED.
        """
        answer: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
        waiting = Waiting(message, time.monotonic(), answer)
        if self._closed is not None:
            waiting.refuse("SESSION_CLOSED", f"the session has ended: {self._closed}")
        elif len(self._waiting) >= WAITING:
            waiting.refuse("RATE_LIMITED", f"expected at most {WAITING} messages waiting for a frame")
        else:
            self._waiting.append(waiting)
        return answer

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        return tuple(self._waiting)

    def take(self) -> list[Waiting]:
        """Everything that waits, in order of arrival."""
        taken, self._waiting = self._waiting, []
        return taken

    def close(self, reason: str) -> None:
        """Refuse what waits and what will come."""
        self._closed = reason
        for waiting in self.take():
            waiting.refuse("SESSION_CLOSED", f"the session has ended: {reason}")
