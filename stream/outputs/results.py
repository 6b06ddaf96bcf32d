"""Results and states as encoded messages for a channel, whatever the channel is."""

from __future__ import annotations

from collections.abc import Callable

from stream import replies, wire
from stream.outputs.output import Shown
from stream.stats import Stats

Send = Callable[[bytes | str], bool]
"""Send one message now or not at all; False when it was not."""

RESULT_BYTES = 64 * 1024


class ResultsOutput:
    """One `result` per frame; one that cannot be sent at once is dropped and counted.

    Args:
        send: where encoded messages go.
        stats: where dropped ones are counted.
        binary: msgpack instead of JSON.
    """

    def __init__(self, send: Send, stats: Stats, *, binary: bool) -> None:
        self._send = send
        self._stats = stats
        self._binary = binary

    def put(self, shown: Shown) -> None:
        if shown.result is None:
            return
        data = wire.encode(shown.result, binary=self._binary)
        if len(data) > RESULT_BYTES:
            data = wire.encode(replies.without_rle(shown.result), binary=self._binary)
        if not self._send(data):
            self._stats.results_dropped += 1

    def close(self) -> None:
        """Nothing is held."""


class StateOutput:
    """A `state` message whenever something in it changed."""

    def __init__(self, send: Send, *, binary: bool) -> None:
        self._send = send
        self._binary = binary

    def put(self, shown: Shown) -> None:
        if shown.state is not None:
            self._send(wire.encode(shown.state, binary=self._binary))

    def close(self) -> None:
        """Nothing is held."""
