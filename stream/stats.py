"""How a session is doing: rates, stage latencies, drops. Pure: the caller brings the time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

Clock = Callable[[], float]


class Rate:
    """Events per second over a sliding window, and how many there were in all."""

    def __init__(self, clock: Clock, window: float = 2.0) -> None:
        self.count = 0
        self._clock = clock
        self._window = window
        self._started = clock()
        # Bounded also against a source that delivers absurdly fast.
        self._times: deque[float] = deque(maxlen=2048)

    def add(self) -> None:
        self.count += 1
        self._times.append(self._clock())

    @property
    def per_second(self) -> float:
        now = self._clock()
        while self._times and self._times[0] < now - self._window:
            self._times.popleft()
        return len(self._times) / max(min(self._window, now - self._started), 1e-3)


class Latency:
    """The last durations of one stage, in seconds."""

    def __init__(self, keep: int = 300) -> None:
        self._seconds: deque[float] = deque(maxlen=keep)

    def add(self, seconds: float) -> None:
        self._seconds.append(seconds)

    def percentile(self, share: float) -> float | None:
        """The nearest-rank percentile for `share` in 0..1; None before the first sample."""
        if not self._seconds:
            return None
        ranked = sorted(self._seconds)
        return ranked[min(int(share * len(ranked)), len(ranked) - 1)]

    def as_ms(self) -> dict[str, float | None]:
        """{"p50", "p95"} in milliseconds."""
        return {name: _ms(self.percentile(share)) for name, share in (("p50", 0.5), ("p95", 0.95))}


class Stats:
    """The counters of one session; `snapshot` is the body of the `stats` message (docs/protocol.md)."""

    STAGES = ("wait", "convert", "step", "render")

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self.frames_in = Rate(clock)
        self.frames_model = Rate(clock)
        self.frames_out = Rate(clock)
        self.latency = Latency()
        self.stages = {stage: Latency() for stage in self.STAGES}
        self.dropped_in = 0
        self.dropped_out = 0
        self.results_dropped = 0
        self.queue_age: float | None = None
        self.round_trip: float | None = None
        self.engine: dict[str, float] = {}
        self.memory_bytes = 0
        self.decoder: str | None = None
        self.encoders: list[str] = []

    def snapshot(self) -> dict[str, object]:
        return {
            "uptime": round(self._clock() - self._started, 3),
            "fps_in": round(self.frames_in.per_second, 2),
            "fps_model": round(self.frames_model.per_second, 2),
            "fps_out": round(self.frames_out.per_second, 2),
            "frames_in": self.frames_in.count,
            "frames_model": self.frames_model.count,
            "frames_out": self.frames_out.count,
            "dropped_in": self.dropped_in,
            "dropped_out": self.dropped_out,
            "results_dropped": self.results_dropped,
            "queue_age_ms": _ms(self.queue_age),
            "rtt_ms": _ms(self.round_trip),
            "latency_ms": self.latency.as_ms(),
            "stages_ms": {stage: latency.as_ms() for stage, latency in self.stages.items()},
            "engine_ms": {stage: _ms(seconds) for stage, seconds in self.engine.items()},
            "memory_bytes": self.memory_bytes,
            "decoder": self.decoder,
            "encoders": self.encoders,
        }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)
