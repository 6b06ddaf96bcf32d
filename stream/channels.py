"""A client's two data channels around a session: what it may say and what it is told. docs/protocol.md 3."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from aiortc import RTCDataChannel
from aiortc.exceptions import InvalidStateError

from stream import replies, wire
from stream.dialogue import Dialogue
from stream.outputs.output import Output
from stream.outputs.results import ResultsOutput, StateOutput
from stream.prompt_message import PromptMessage
from stream.replies import Ack
from stream.session import Session
from stream.wire import WireError

# Unsent bytes: beyond these a result is stale before it leaves, and a client that reads no answers is gone.
RESULTS_BUFFER = 128 * 1024
PROMPTS_BUFFER = 1024 * 1024

log = logging.getLogger(__name__)


class Channels:
    """`prompts` and `results` of one client; each may be opened once, others are closed.

    Args:
        session_id: told to the client.
        binary: msgpack for what is sent unasked.
        may_prompt: False for a client that may only watch: its prompts are answered FORBIDDEN.
    """

    def __init__(self, session_id: str, session: Session, *, binary: bool, may_prompt: bool = True) -> None:
        self._session_id = session_id
        self._session = session
        self._binary = binary
        self._may_prompt = may_prompt
        self._dialogue: Dialogue | None = None
        self._results: RTCDataChannel | None = None
        self._outputs: list[Output] = []

    def open(self, channel: RTCDataChannel) -> None:
        """Take a channel that the client opened."""
        if channel.label == "prompts" and self._dialogue is None:
            self._open_prompts(channel)
        elif channel.label == "results" and self._results is None:
            self._results = channel
            send = _sender(channel, RESULTS_BUFFER)
            self._add(ResultsOutput(send, self._session.stats, binary=self._binary))
        else:
            channel.close()

    def beat(self) -> None:
        """A ping and the stats; to be called once a second."""
        if self._dialogue is not None:
            self._dialogue.ping()
        if self._results is not None:
            data = wire.encode(replies.stats(self._session.stats.snapshot()), binary=self._binary)
            _sender(self._results, RESULTS_BUFFER)(data)

    def bye(self, reason: str) -> None:
        if self._dialogue is not None:
            self._dialogue.bye(reason)

    def close(self) -> None:
        """Let go of the session."""
        for output in self._outputs:
            self._session.remove_output(output)

    def _open_prompts(self, channel: RTCDataChannel) -> None:
        send = _sender(channel, PROMPTS_BUFFER)
        submit = self._session.submit if self._may_prompt else _forbid
        self._dialogue = Dialogue(self._session_id, self._session, send, binary=self._binary, submit=submit)
        channel.on("message", self._dialogue.receive)
        self._add(StateOutput(send, binary=self._binary))
        self._dialogue.begin()

    def _add(self, output: Output) -> None:
        self._outputs.append(output)
        self._session.add_output(output)


def _forbid(message: PromptMessage) -> asyncio.Future[Ack]:
    raise WireError("FORBIDDEN", "your key may watch this session, not prompt it", message.request_id)


def _sender(channel: RTCDataChannel, buffer: int) -> Callable[[bytes | str], bool]:
    """Send on `channel` unless it is closed or has `buffer` bytes unsent already."""

    def send(data: bytes | str) -> bool:
        if channel.readyState != "open" or channel.bufferedAmount > buffer:
            return False
        try:
            channel.send(data)
        except (InvalidStateError, ConnectionError, ValueError) as error:
            log.info("message not sent on %s: %s", channel.label, error)
            return False
        return True

    return send
