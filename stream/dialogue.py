"""What one client says and is told on its `prompts` channel. docs/protocol.md sections 5 to 7 and 9.

It knows no WebRTC: messages come by `receive` and go by the `send` it was given.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from engine.types import EngineError
from stream import replies, wire
from stream.bucket import Bucket
from stream.outputs.results import Send
from stream.prompt_message import PromptMessage, read_prompt_message
from stream.replies import Ack
from stream.session import Session
from stream.wire import Fields, Message, WireError, request_id_of

MESSAGES_PER_SECOND = 100
MESSAGES_BURST = 200

log = logging.getLogger(__name__)


class Dialogue:
    """Reads messages, hands prompts to the session, and answers each exactly once.

    Args:
        session: whose objects are prompted.
        send: where messages to the client go.
        binary: encoding of what is sent unasked; answers go in kind.
        submit: where prompt messages go; the session itself if not given.
    """

    def __init__(
        self,
        session_id: str,
        session: Session,
        send: Send,
        *,
        binary: bool,
        submit: Callable[[PromptMessage], asyncio.Future[Ack]] | None = None,
    ) -> None:
        self._session_id = session_id
        self._session = session
        self._submit = submit or session.submit
        self._send = send
        self._binary = binary
        self._bucket = Bucket(MESSAGES_PER_SECOND, MESSAGES_BURST)
        self._pings: dict[int, float] = {}
        self._ping_number = 0
        self._previews: set[asyncio.Future[None]] = set()

    def begin(self) -> None:
        """Greet: `ready`, then the state."""
        encoding = "msgpack" if self._binary else "json"
        self._tell(replies.ready(self._session_id, encoding), binary=self._binary)
        self._tell(self._session.state(), binary=self._binary)

    def receive(self, data: bytes | str) -> None:
        """Take one message of the client; never raises for what it says."""
        try:
            if not self._bucket.take(time.monotonic()):
                raise WireError("RATE_LIMITED", f"expected at most {MESSAGES_PER_SECOND} messages a second")
            self._handle(wire.decode(data), binary=isinstance(data, bytes))
        except WireError as error:
            self._tell(error.message(), binary=False)
        except Exception:
            log.exception("a message failed")
            self._tell(
                WireError("INTERNAL_ERROR", "the message could not be handled").message(), binary=False
            )

    def ping(self) -> None:
        """Ask for a sign of life."""
        self._ping_number += 1
        self._pings = {**dict(list(self._pings.items())[-4:]), self._ping_number: time.monotonic()}
        self._tell(replies.ping(self._ping_number), binary=self._binary)

    def bye(self, reason: str) -> None:
        self._tell(replies.bye(reason), binary=self._binary)

    def _handle(self, message: Message, *, binary: bool) -> None:
        match message.get("type"):
            case None:
                prompt = read_prompt_message(message)
                answer = self._submit(prompt)
                answer.add_done_callback(lambda done: self._answer(done, binary))
                if prompt.preview:
                    self._preview(prompt, binary)
            case "ping":
                self._tell(replies.pong(_scalar(message)), binary=binary)
            case "pong":
                self._hear(message)
            case "state":
                state = self._session.state()
                self._tell({**state, "request_id": request_id_of(message)}, binary=binary)
            case other:
                fields = Fields(message, request_id=request_id_of(message))
                fields.refuse("INVALID_INPUT", "type", "no type, 'ping', 'pong' or 'state'", other)

    def _preview(self, prompt: PromptMessage, binary: bool) -> None:
        """Tell what it will show, if that can be known; its answer comes by itself."""
        try:
            preview = self._session.preview(prompt)
        except EngineError as error:
            log.info("no preview: %s", error)
            return
        if preview is not None:
            task = asyncio.ensure_future(self._tell_preview(preview, time.monotonic(), binary))
            self._previews.add(task)
            task.add_done_callback(self._previews.discard)

    async def _tell_preview(self, preview: Awaitable[Message], asked_at: float, binary: bool) -> None:
        try:
            message = await preview
        except (EngineError, asyncio.CancelledError) as error:
            log.info("no preview: %s", error)
            return
        self._tell({**message, "timing": round(time.monotonic() - asked_at, 4)}, binary=binary)

    def _answer(self, done: asyncio.Future[Ack], binary: bool) -> None:
        if done.cancelled():
            return
        error = done.exception()
        if isinstance(error, WireError):
            self._tell(error.message(), binary=False)
        elif error is None:
            ack = done.result()
            self._tell(ack.message(), binary=binary)
            self._tell(ack.timings_message(), binary=False)

    def _hear(self, pong: Message) -> None:
        number = pong.get("id")
        sent_at = self._pings.pop(number, None) if isinstance(number, int) else None
        if sent_at is not None:
            self._session.stats.round_trip = time.monotonic() - sent_at

    def _tell(self, message: Message, *, binary: bool) -> None:
        self._send(wire.encode(message, binary=binary))


def _scalar(message: Message) -> str | int | float | None:
    """The id to echo, which must be small and plain."""
    value = message.get("id")
    if (
        value is None
        or isinstance(value, bool | int | float)
        or (isinstance(value, str) and len(value) <= 128)
    ):
        return value
    fields = Fields(message, request_id=request_id_of(message))
    fields.refuse("INVALID_INPUT", "id", "a number or a string of at most 128 characters", value)
