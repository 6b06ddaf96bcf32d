"""A token bucket: so many a second, with bursts. Pure: the caller brings the time."""

from __future__ import annotations


class Bucket:
    """`rate` tokens a second, at most `burst` saved up; full at the start."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._filled_at: float | None = None

    def take(self, now: float) -> bool:
        """Take one token at `now` (monotonic seconds); False when there is none."""
        elapsed = 0.0 if self._filled_at is None else now - self._filled_at
        self._filled_at = now
        self._tokens = min(self._burst, self._tokens + elapsed * self._rate)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
