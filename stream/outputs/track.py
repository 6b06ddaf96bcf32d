"""The masked video as an aiortc track."""

from __future__ import annotations

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from stream.codecs import TIME_BASE
from stream.latest import Latest, LatestClosed
from stream.outputs.output import Shown
from stream.stats import Stats
from stream.timeline import RTP_MODULUS


class MaskedTrack(MediaStreamTrack):
    """Newest masked frame wins: a sender that is behind gets the newest and never a backlog.

    Each frame's pts is its RTP timestamp, which `stream.codecs` sends as it is. What was sent, and what was
    replaced before it could be, is counted in `stats`.
    """

    kind = "video"

    def __init__(self, stats: Stats) -> None:
        super().__init__()
        self._stats = stats
        self._latest: Latest[Shown] = Latest()
        self._pts: int | None = None

    def put(self, shown: Shown) -> None:
        self._latest.put(shown)
        self._stats.dropped_out = self._latest.dropped

    def close(self) -> None:
        self.stop()

    def stop(self) -> None:
        self._latest.close("track stopped")
        super().stop()

    async def recv(self) -> av.VideoFrame:
        """The newest masked frame, once there is one that was not sent.

        Raises:
            MediaStreamError: the track was stopped.
        """
        try:
            shown = await self._latest.get()
        except LatestClosed as closed:
            raise MediaStreamError from closed
        self._stats.frames_out.add()
        video = av.VideoFrame.from_ndarray(shown.image, format="yuv420p")
        video.pts = self._unwrapped(shown.frame.rtp_timestamp or 0)
        video.time_base = TIME_BASE
        return video

    def _unwrapped(self, rtp_timestamp: int) -> int:
        """Encoders want times that go on rising where the 32-bit timestamp begins again."""
        last = rtp_timestamp if self._pts is None else self._pts
        self._pts = last + (rtp_timestamp - last) % RTP_MODULUS
        return self._pts
