"""A session with all that may be attached to it: viewers, prompts, results, snapshots, recordings.

What a page's session, a published stream and an unattended camera have in common.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from stream import codecs
from stream.encoders import X264
from stream.options import SessionOptions
from stream.outputs.broadcast import Broadcast
from stream.outputs.glance import Glance
from stream.session import Session, Step
from stream.sources.source import Source
from stream.stats import Stats
from stream.wire import Message

SHOWN = ("frame_index", "width", "height", "objects", "output", "apply_mask", "no_signal_since", "recording")


class Runner(Protocol):
    """Something that carries one session from its beginning to its end."""

    session_id: str

    @property
    def live(self) -> Live | None:
        """The session, once there is one."""
        ...

    @property
    def silent(self) -> bool:
        """Whether nothing has been heard of its client for so long that its place may be taken."""
        ...

    async def run(self) -> str:
        """Run to the end; gives the reason. Called once."""
        ...

    def close(self, reason: str) -> None: ...

    def snapshot(self) -> Message: ...


class Live:
    """One session; by itself it runs without anybody watching.

    Args:
        name: how people call it (a camera's or a published stream's name); None where it has none.
        source: where its pictures come from.
        step: the engine, for this session's objects.
        options: how masks are drawn and whether results carry run lengths.
        h264: the H264 encoder for viewers.
        status: how the source is doing, for the snapshot; None where there is nothing to tell.
        on_demand: as `Session`'s.
    """

    def __init__(
        self,
        session_id: str,
        source: Source,
        step: Step,
        options: SessionOptions | None = None,
        *,
        name: str | None = None,
        h264: str = X264,
        status: Callable[[], Message] | None = None,
        on_demand: bool = False,
    ) -> None:
        options = options or SessionOptions()
        self.session_id = session_id
        self.name = name
        self.stats = Stats()
        self.broadcast = Broadcast(self.stats, h264)
        self.glance = Glance()
        self.session = Session(
            source,
            step,
            [self.broadcast, self.glance],
            view=options.view,
            rle=options.rle,
            rtp_origin=codecs.random_origin(),
            stats=self.stats,
            on_demand=on_demand,
        )
        self._source = source
        self._status = status
        self._state = "new"

    @property
    def live(self) -> Live:
        return self

    @property
    def silent(self) -> bool:
        return False  # it has no client

    async def run(self) -> str:
        """Run to the end; gives the reason."""
        self._state = "live"
        try:
            return await self.session.run()
        finally:
            self._state = "closed"

    def close(self, reason: str) -> None:
        """Ask for the end; the first reason stands."""
        self.session.close(reason)

    def snapshot(self) -> Message:
        """What `GET /sessions/{id}` tells."""
        state = self.session.state()
        return {
            "id": self.session_id,
            "name": self.name,
            "state": self._state,
            "source": self._source.name,
            "signal": self._status() if self._status else None,
            **{field: state.get(field) for field in SHOWN},
            "viewers": self.broadcast.viewers,
            "encoders": self.broadcast.snapshot(),
            "stats": self.stats.snapshot(),
        }
