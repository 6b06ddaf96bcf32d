"""Capture times to 90 kHz ticks that only ever increase. Pure: the caller brings the clocks."""

from __future__ import annotations

RTP_RATE = 90_000
RTP_MODULUS = 1 << 32


def distance(start: int, end: int, modulus: int = RTP_MODULUS) -> int:
    """Signed distance of two counts that wrap at `modulus`: RTP timestamps, if not told otherwise."""
    return (end - start + modulus // 2) % modulus - modulus // 2


class Timeline:
    """The media clock of one session.

    Follows the presentation times of the source, for they carry no network jitter. Where they jump, run
    backwards or are missing, the time of receipt bridges the gap, so that a source may restart its clock.
    """

    # A source clock that strays further than this from the wall clock between two frames has jumped.
    TOLERANCE_SECONDS = 1.0

    def __init__(self, origin: int = 0, tolerance: float = TOLERANCE_SECONDS) -> None:
        self.origin = origin % RTP_MODULUS
        self._tolerance = tolerance
        self._last: tuple[float, float, int] | None = None
        self._anchor: tuple[float, int] = (0.0, 0)

    def ticks(self, pts: float | None, captured_at: float) -> int:
        """Ticks since the first frame, from 0, each greater than the one before.

        Args:
            pts: seconds on the source's clock, None where it has none.
            captured_at: monotonic seconds of receipt.
        """
        media = captured_at if pts is None else pts
        if self._last is None:
            self._anchor = (media, 0)
            ticks = 0
        else:
            ticks = max(self._last[2] + 1, self._next(media, captured_at, self._last))
        self._last = (media, captured_at, ticks)
        return ticks

    def rtp_timestamp(self, ticks: int) -> int:
        """The unsigned 32-bit RTP timestamp (RFC 3550 section 5.1) of `ticks`."""
        return (self.origin + ticks) % RTP_MODULUS

    def _next(self, media: float, captured_at: float, last: tuple[float, float, int]) -> int:
        last_media, last_captured, last_ticks = last
        wall = max(captured_at - last_captured, 0.0)
        step = media - last_media
        if step <= 0 or abs(step - wall) > self._tolerance:
            self._anchor = (media, last_ticks + round(wall * RTP_RATE))
        start, start_ticks = self._anchor
        return start_ticks + round((media - start) * RTP_RATE)
